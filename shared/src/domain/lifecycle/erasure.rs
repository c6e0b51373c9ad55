//! Erasure of a contact. Lookups stop finding the contact at once; its items are erased a quarter of an hour later,
//! when no function has it cached.

use jiff::{SignedDuration, Timestamp};

use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{ContactId, ErasureId, TenantId};

/// Time during which a redelivery of older messages is suppressed after an erasure. Meta repeats for 7 days, the
/// archive keeps 8 days, dead-letter queues 14.
pub const SUPPRESSED_FOR: SignedDuration = SignedDuration::from_hours(15 * 24);

/// Erasure of everything about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// Tenant that owns the conversations.
    pub tenant: TenantId,
    /// All contacts under which the person was known.
    pub contacts: Vec<ContactId>,
    /// Time of the request. Messages sent later create a new contact.
    pub asked_at: Timestamp,
    /// Time when the aliases were removed. After [`crate::domain::lifecycle::offboarding::SETTLES_IN`] no function has
    /// them cached.
    pub closed_at: Option<Timestamp>,
    /// Number of items erased so far.
    pub erased: u64,
    /// Time when the last item was erased.
    pub done_at: Option<Timestamp>,
}

/// Returns whether a webhook contains this name or number: not inside a longer one, and for a phone number in any of
/// its spellings.
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
