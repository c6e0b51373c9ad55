//! Phone numbers, by the one rule Meta needs: `+`, a country code, ASCII digits.

use std::fmt;

/// Fewest digits of an international number, country code included (ITU-T E.164 allows short national plans).
const DIGITS_MIN: usize = 7;
/// Most digits of an international number (ITU-T E.164).
const DIGITS_MAX: usize = 15;

/// An international phone number, `+` and 7 to 15 digits. Personal data: it has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// Why a text is no [`PhoneNumber`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhone {
    /// Without `+` Meta would put the business's own country code in front and reach a stranger.
    #[error("must begin with + and the country code")]
    NoPlus,
    /// A country code never begins with 0.
    #[error("must not have a 0 after the +")]
    LeadingZero,
    /// Only ASCII digits, and spaces, dashes, dots and brackets between them.
    #[error("must hold only digits after the + (spaces, dashes, dots and brackets are skipped)")]
    Character,
    /// Too short or too long.
    #[error("must have 7 to 15 digits")]
    Length,
}

impl PhoneNumber {
    /// Reads a number as a person or a program writes it.
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, InvalidPhone> {
        let rest = text.trim_matches(' ').strip_prefix('+').ok_or(InvalidPhone::NoPlus)?;
        let mut digits = String::with_capacity(DIGITS_MAX + 1);
        digits.push('+');
        for character in rest.chars() {
            match character {
                '0'..='9' => digits.push(character),
                ' ' | '-' | '.' | '(' | ')' => {}
                _ => return Err(InvalidPhone::Character),
            }
        }
        if digits.starts_with("+0") {
            return Err(InvalidPhone::LeadingZero);
        }
        if !(DIGITS_MIN..=DIGITS_MAX).contains(&(digits.len() - 1)) {
            return Err(InvalidPhone::Length);
        }
        Ok(Self(digits))
    }

    /// Reads a number as Meta writes it in webhooks: the same, but the `+` is usually missing.
    ///
    /// # Errors
    /// As [`PhoneNumber::parse`].
    pub fn parse_wa_id(text: &str) -> Result<Self, InvalidPhone> {
        if text.starts_with('+') { Self::parse(text) } else { Self::parse(&format!("+{text}")) }
    }

    /// `+` and digits.
    #[must_use]
    pub fn e164(&self) -> &str {
        &self.0
    }

    /// The digits alone, as a `wa_id` has them.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for text in ["+15550002222", " +1 (555) 000-2222 ", "+1.555.000.2222"] {
            assert_eq!(PhoneNumber::parse(text).unwrap().e164(), "+15550002222");
        }
        assert_eq!(PhoneNumber::parse_wa_id("15550002222").unwrap().digits(), "15550002222");
    }

    #[test]
    fn names_the_rule() {
        let cases = [
            ("15550002222", InvalidPhone::NoPlus),
            ("0015550002222", InvalidPhone::NoPlus),
            ("+0015550002222", InvalidPhone::LeadingZero),
            ("+1555000222x", InvalidPhone::Character),
            ("+1555\u{661}\u{662}\u{663}4", InvalidPhone::Character),
            ("+1555\u{200b}0002222", InvalidPhone::Character),
            ("+123456", InvalidPhone::Length),
            ("+1234567890123456", InvalidPhone::Length),
            ("", InvalidPhone::NoPlus),
        ];
        for (text, rule) in cases {
            assert_eq!(PhoneNumber::parse(text), Err(rule), "{text:?}");
        }
    }
}
