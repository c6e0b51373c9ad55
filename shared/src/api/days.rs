//! A range of whole days, UTC.

use jiff::Span;
use jiff::civil::Date;

use crate::http::Problem;

/// Longest range of one response, in days: every day of every number is a read of its own.
const DAYS_MAX: i32 = 31;
/// Default length of the range without `from`: `until` and the six days before it, one week.
const DAYS_BEFORE: i64 = 6;

/// Returns the requested range of days, both ends included. Default of `until` is today; default of `from` is six days
/// before `until`.
///
/// # Errors
/// 422 names the field that is not a date, or `from` when it is after `until` or more than 30 days before it.
pub fn days(from: Option<&str>, until: Option<&str>, today: Date) -> Result<(Date, Date), Problem> {
    let until = day("until", until)?.unwrap_or(today);
    let week = || until.checked_sub(Span::new().days(DAYS_BEFORE)).unwrap_or(until);
    let from = day("from", from)?.unwrap_or_else(week);
    let apart = until.since(from).map_or(-1, |span| span.get_days());
    if (0..DAYS_MAX).contains(&apart) {
        return Ok((from, until));
    }
    Err(Problem::invalid("from", &format!("must not be after `until`, and the range must be at most {DAYS_MAX} days")))
}

fn day(field: &str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| Problem::invalid(field, "must be a date such as 2026-11-20"));
    text.map(parse).transpose()
}
