//! Chance, from the operating system only.

/// `N` bytes from the operating system's generator.
///
/// # Errors
/// When the operating system has no randomness to give; nothing secret may be made then.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0_u8; N];
    getrandom::fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}

/// A ULID for this millisecond. Without randomness it would not be unique, so that is an error.
///
/// # Errors
/// As [`bytes()`].
pub fn ulid(now: jiff::Timestamp) -> Result<ulid::Ulid, NoRandomness> {
    let random = u128::from_be_bytes(bytes::<16>()?);
    Ok(ulid::Ulid::from_parts(u64::try_from(now.as_millisecond()).unwrap_or(0), random))
}

/// The operating system's random generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system's random generator failed")]
pub struct NoRandomness;
