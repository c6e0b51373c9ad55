//! JSON files in the state folder. They are readable by their owner only, because some hold keys, and are replaced
//! atomically.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Creates the folder, accessible to its owner only, unless it exists.
///
/// # Errors
/// When the folder cannot be created. The message names it.
pub fn create_folder(folder: &Path) -> Result<(), String> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))
}

/// Locks the folder for this process, until the returned file is dropped.
///
/// # Errors
/// When another process holds the lock.
pub fn lock(folder: &Path) -> Result<std::fs::File, String> {
    let file = std::fs::File::create(folder.join("lock"));
    let file = file.map_err(|error| format!("{} cannot be used: {error}", folder.display()))?;
    file.try_lock().map_err(|_| format!("another sandbox is using {}: stop it first", folder.display()))?;
    Ok(file)
}

/// Reads a file; `None` if no file is given or it does not exist.
///
/// # Errors
/// When the file cannot be read. The message names it.
pub fn load<T: DeserializeOwned>(file: Option<&Path>) -> Result<Option<T>, String> {
    let Some(file) = file.filter(|file| file.exists()) else { return Ok(None) };
    let broken = |error: &dyn std::error::Error| format!("{} cannot be read: {error}", file.display());
    let bytes = std::fs::read(file).map_err(|error| broken(&error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| broken(&error))
}

/// Replaces a file, if one is given. A crash during the write leaves the old content.
///
/// # Errors
/// When the file cannot be written. The message names it.
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
