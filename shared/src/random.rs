//! Randomness, from the operating system only.

/// Returns `N` bytes from the operating system's random generator.
///
/// # Errors
/// When the generator fails. No secret may be created then.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0_u8; N];
    getrandom::fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}

/// Returns a ULID for this millisecond.
///
/// # Errors
/// As [`bytes()`]: without randomness the ULID would not be unique.
pub fn ulid(now: jiff::Timestamp) -> Result<ulid::Ulid, NoRandomness> {
    let random = u128::from_be_bytes(bytes::<16>()?);
    Ok(ulid::Ulid::from_parts(u64::try_from(now.as_millisecond()).unwrap_or(0), random))
}

/// The operating system's random generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system's random generator failed")]
pub struct NoRandomness;
