//! Erasing a contact: it is gone for whoever asks at once, and out of the table a quarter of an hour later, when no function remembers it.

use jiff::{SignedDuration, Timestamp};

use super::ids::{ContactId, ErasureId, TenantId};
use super::phone::PhoneNumber;

/// How long what was said before an erasure may come again, and is not stored: Meta repeats for 7 days, the archive is kept for 8, dead letters
/// for 14.
pub const SUPPRESSED_FOR: SignedDuration = SignedDuration::from_hours(15 * 24);

/// A person of whom everything is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// The owner of the conversations.
    pub tenant: TenantId,
    /// All contacts that the person was known as.
    pub contacts: Vec<ContactId>,
    /// When it was asked for: what is said later is of somebody new.
    pub asked_at: Timestamp,
    /// When its names were taken away: a while after that nobody remembers where they led.
    pub closed_at: Option<Timestamp>,
    /// Items erased so far.
    pub erased: u64,
    /// When the last of it was gone.
    pub done_at: Option<Timestamp>,
}

/// Whether a webhook names somebody: not as a part of a longer name or number, and a phone number in any of its spellings.
#[must_use]
pub fn mentions(raw: &[u8], name: &str) -> bool {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let numbers = raw.split(|byte| !byte.is_ascii_digit()).filter_map(|digits| std::str::from_utf8(digits).ok());
        let spelled =
            |digits: &str| PhoneNumber::parse_wa_id(digits).is_ok_and(|phone| phone.canonical().digits() == name);
        return numbers.into_iter().any(|digits| digits == name || spelled(digits));
    }
    let apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let places = raw.windows(name.len().max(1)).enumerate().filter(|(_, part)| *part == name.as_bytes());
    places.map(|(at, _)| at).any(|at| {
        let before = at.checked_sub(1).and_then(|before| raw.get(before));
        apart(before) && apart(raw.get(at + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_phone_number_is_found_in_any_spelling() {
        assert!(mentions(br#"{"from":"5215512345678"}"#, "525512345678"), "Mexico");
        assert!(mentions(br#"{"wa_id":"551187654321"}"#, "5511987654321"), "Brazil");
        assert!(!mentions(br#"{"from":"5215512345679"}"#, "525512345678"));
    }

    #[test]
    fn a_name_is_not_found_in_a_longer_one() {
        let raw = br#"{"from":"15550002222","id":"wamid.115550003333","to":"+15550004444"}"#;
        assert!(mentions(raw, "15550002222") && mentions(raw, "15550004444"));
        assert!(
            !mentions(raw, "15550003333") && !mentions(raw, "1555000222") && !mentions(b"", "1") && !mentions(b"1", "")
        );
    }
}
