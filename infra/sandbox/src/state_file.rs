//! JSON files in the state folder: readable by their owner only, for some hold keys, and never half written.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a file, if it is named and there.
///
/// # Errors
/// Names the file that cannot be read.
pub fn load<T: DeserializeOwned>(file: Option<&Path>) -> Result<Option<T>, String> {
    let Some(file) = file.filter(|file| file.exists()) else { return Ok(None) };
    let broken = |error: &dyn std::error::Error| format!("{} cannot be read: {error}", file.display());
    let bytes = std::fs::read(file).map_err(|error| broken(&error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| broken(&error))
}

/// Writes a file whole, if it is named: a stop in the middle leaves the old one.
///
/// # Errors
/// Names the file that cannot be written.
pub fn save<T: Serialize>(file: Option<&Path>, state: &T) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    let failed = |error: &dyn std::error::Error| format!("{} cannot be written: {error}", file.display());
    let json = serde_json::to_vec(state).map_err(|error| failed(&error))?;
    let half = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&half).and_then(|mut open| open.write_all(&json)).map_err(|error| failed(&error))?;
    std::fs::rename(&half, file).map_err(|error| failed(&error))
}
