//! Phone numbers in the one form that Meta needs: `+`, a country code, ASCII digits.

use std::fmt;

/// Fewest digits of an international number, country code included (ITU-T E.164 allows short national plans).
const DIGITS_MIN: usize = 7;
/// Fewest digits of a sender that the provider names: services write from short numbers.
const SENDER_DIGITS_MIN: usize = 3;
/// Most digits of an international number (ITU-T E.164).
const DIGITS_MAX: usize = 15;

/// An international phone number: `+` and 7 to 15 digits. It is personal data, so it has no `Display`, and `Debug`
/// hides it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber(String);

/// Reason why a text is not a [`PhoneNumber`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhone {
    /// The `+` is missing. Meta would prefix the business's own country code, and the message would reach a stranger.
    #[error("must begin with + and the country code")]
    NoPlus,
    /// A zero follows the `+`. No country code begins with 0.
    #[error("must not have a 0 after the +")]
    LeadingZero,
    /// A character other than ASCII digits, and spaces, dashes, dots and brackets between them.
    #[error("must hold only digits after the + (spaces, dashes, dots and brackets are skipped)")]
    Character,
    /// A zero in brackets. It is dialled only inside the country; with it the number would be a different one.
    #[error("must leave out the (0), which is not dialled from abroad")]
    TrunkPrefix,
    /// Fewer than 7 or more than 15 digits.
    #[error("must have 7 to 15 digits")]
    Length,
}

impl PhoneNumber {
    /// Parses a number as a person or a program writes it.
    ///
    /// # Errors
    /// Names the broken rule.
    pub fn parse(text: &str) -> Result<Self, InvalidPhone> {
        Self::read(text, DIGITS_MIN)
    }

    fn read(text: &str, digits_min: usize) -> Result<Self, InvalidPhone> {
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
        if !(digits_min..=DIGITS_MAX).contains(&(digits.len() - 1)) {
            return Err(InvalidPhone::Length);
        }
        Ok(Self(digits))
    }

    /// Parses a number as Meta writes it in webhooks, and as it is stored: usually without the `+`, and with 3 digits
    /// or more, because services write from short numbers.
    ///
    /// # Errors
    /// As [`PhoneNumber::parse`].
    pub fn parse_wa_id(text: &str) -> Result<Self, InvalidPhone> {
        let international = if text.starts_with('+') { text.to_owned() } else { format!("+{text}") };
        Self::read(&international, SENDER_DIGITS_MIN)
    }

    /// Returns `+` and the digits.
    #[must_use]
    pub fn e164(&self) -> &str {
        &self.0
    }

    /// Returns the canonical spelling, which unifies only spellings that a numbering plan declares equal.
    ///
    /// * Brazil: mobile numbers got a ninth digit, `9`, in front. It is added to numbers of eight digits that begin
    ///   with 6 to 9. Numbers of eight digits that begin with 2 to 5 are landlines and stay unchanged, as do all
    ///   numbers of nine digits.
    /// * Mexico: the `1` once dialled before mobile numbers is dropped; national numbers have ten digits either way.
    ///
    /// Argentina's `9` is not unified. Without it the number may be the landline of another person
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

    /// Returns another spelling in use for the same number: Argentina's mobile numbers with and without `9`. It may
    /// belong to another subscriber. Use it to find a contact by a typed number, never to merge two contacts that Meta
    /// distinguishes.
    #[must_use]
    pub fn other_spelling(&self) -> Option<Self> {
        let digits = self.digits();
        match (digits.strip_prefix("54")?, digits.len()) {
            (rest, 13) if rest.starts_with('9') => Some(Self(format!("+54{}", &rest[1..]))),
            (rest, 12) if !rest.starts_with('9') => Some(Self(format!("+549{rest}"))),
            _ => None,
        }
    }

    /// Returns the digits alone, as in a `wa_id`.
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
