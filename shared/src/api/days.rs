//! A range of whole days, UTC.

use jiff::Span;
use jiff::civil::Date;

use crate::http::Problem;

/// Longest time that one answer covers, in days: each day of each number is read on its own.
const DAYS_MAX: i32 = 31;
/// Days before `until` where the caller names no `from`: with it, a week.
const DAYS_BEFORE: i64 = 6;

/// The days that a caller asks for, both included; without `until` up to today, without `from` a week.
///
/// # Errors
/// 422 names the field that is no day, or `from` if it is too far away.
pub fn days(from: Option<&str>, until: Option<&str>, today: Date) -> Result<(Date, Date), Problem> {
    let until = day("until", until)?.unwrap_or(today);
    let week = || until.checked_sub(Span::new().days(DAYS_BEFORE)).unwrap_or(until);
    let from = day("from", from)?.unwrap_or_else(week);
    let apart = until.since(from).map_or(-1, |span| span.get_days());
    if (0..DAYS_MAX).contains(&apart) {
        return Ok((from, until));
    }
    Err(Problem::invalid("from", &format!("must be at most {DAYS_MAX} days before `until`, and not after it")))
}

fn day(field: &str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| Problem::invalid(field, "must be a day such as 2026-11-20"));
    text.map(parse).transpose()
}
