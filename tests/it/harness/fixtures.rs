//! The fixtures of the webhook parser: one realistic, invented payload per kind and field.

use std::path::Path;

use serde_json::Value;

pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// Returns all fixtures by name.
pub(crate) fn all() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/provider/meta/webhook/fixtures");
    let mut found: Vec<Fixture> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert!(file["source"].as_str().unwrap().starts_with("facts/"), "{}", path.display());
            Fixture { name: path.file_stem().unwrap().to_string_lossy().into_owned(), body: file["body"].take() }
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(found.len() > 100, "{}", found.len());
    found
}
