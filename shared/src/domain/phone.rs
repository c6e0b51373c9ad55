//! Phone numbers, by the one rule Meta needs: `+`, a country code, ASCII digits.

use std::fmt;

/// Fewest digits of an international number, country code included (ITU-T E.164 allows short national plans).
const DIGITS_MIN: usize = 7;
/// Most digits of an international number (ITU-T E.164).
const DIGITS_MAX: usize = 15;

/// An international phone number, `+` and 7 to 15 digits. Personal data: it has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// A 0 in brackets is dialled inside the country only: with it the number is another one.
    #[error("must leave out the (0), which is not dialled from abroad")]
    TrunkPrefix,
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
        if rest.contains("(0)") {
            return Err(InvalidPhone::TrunkPrefix);
        }
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

    /// The one spelling of numbers that a numbering plan makes the same, and nothing else.
    ///
    /// * Brazil: mobile numbers have got a ninth digit, `9`, in front. A number of eight that begins with 2 to 5 is a
    ///   landline and never gets one, and a mobile number of nine whose rest looks like a landline never loses it.
    /// * Mexico: the `1` once dialled before mobile numbers is gone; national numbers have ten digits either way.
    ///
    /// Argentina's `9` is not among them: without it the number may be a landline of somebody else
    /// ([`PhoneNumber::other_spelling`]).
    #[must_use]
    pub fn canonical(&self) -> Self {
        let digits = self.digits();
        match (digits.get(..2), digits.len()) {
            (Some("55"), 12) if matches!(digits.as_bytes()[4], b'6'..=b'9') => {
                Self(format!("+{}9{}", &digits[..4], &digits[4..]))
            }
            (Some("52"), 13) if digits.as_bytes()[2] == b'1' => Self(format!("+52{}", &digits[3..])),
            _ => self.clone(),
        }
    }

    /// A spelling that people use for the same number, which may yet be another subscriber's: Argentina's mobile
    /// numbers with and without `9`. Good for finding somebody whose number was typed, never for joining two whom Meta
    /// tells apart.
    #[must_use]
    pub fn other_spelling(&self) -> Option<Self> {
        let digits = self.digits();
        match (digits.strip_prefix("54")?, digits.len()) {
            (rest, 13) if rest.starts_with('9') => Some(Self(format!("+54{}", &rest[1..]))),
            (rest, 12) if !rest.starts_with('9') => Some(Self(format!("+549{rest}"))),
            _ => None,
        }
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
    fn national_variants_have_one_canonical_form_and_landlines_keep_theirs() {
        let canonical = |text: &str| PhoneNumber::parse_wa_id(text).unwrap().canonical().digits().to_owned();
        for (spelled, meant) in [
            ("551187654321", "5511987654321"),
            ("5511987654321", "5511987654321"),
            ("551132654321", "551132654321"),
            ("5511932654321", "5511932654321"),
            ("5215512345678", "525512345678"),
            ("525512345678", "525512345678"),
            ("541144445555", "541144445555"),
            ("5491144445555", "5491144445555"),
            ("15550002222", "15550002222"),
        ] {
            assert_eq!(canonical(spelled), meant, "{spelled}");
            assert_eq!(canonical(meant), meant, "canonical twice is canonical once");
        }
        let other = |text: &str| PhoneNumber::parse_wa_id(text).unwrap().other_spelling();
        let digits = |phone: Option<PhoneNumber>| phone.map(|phone| phone.digits().to_owned());
        assert_eq!(digits(other("5491144445555")).as_deref(), Some("541144445555"));
        assert_eq!(digits(other("541144445555")).as_deref(), Some("5491144445555"));
        assert_eq!(other("551187654321"), None);
        assert_eq!(other("54114444555"), None);
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
            ("+44 (0) 7700 900123", InvalidPhone::TrunkPrefix),
            ("+123456", InvalidPhone::Length),
            ("+1234567890123456", InvalidPhone::Length),
            ("", InvalidPhone::NoPlus),
        ];
        for (text, rule) in cases {
            assert_eq!(PhoneNumber::parse(text), Err(rule), "{text:?}");
        }
    }
}
