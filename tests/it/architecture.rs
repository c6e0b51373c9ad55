//! Architecture rules, checked against the sources: dependencies between crates and modules, file sizes, file names.

use std::path::{Path, PathBuf};

/// A file is split before it has this many lines.
const LINES_MAX: usize = 500;

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns all Rust files below a folder.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}

/// Returns the folders of the crates that ship or run: `shared`, each function, `infra/operator` and `infra/sandbox`.
pub(crate) fn crates() -> Vec<String> {
    let functions = std::fs::read_dir(root().join("functions")).unwrap();
    let functions = functions.map(|entry| format!("functions/{}", entry.unwrap().file_name().to_string_lossy()));
    let others = ["shared", "infra/operator", "infra/sandbox"].map(str::to_owned);
    functions.chain(others).collect()
}

/// Returns the crates of this workspace that a crate may depend on: the arrow points one way,
/// tests -> sandbox -> functions -> shared. Functions do not depend on functions.
fn allowed(folder: &str) -> Vec<String> {
    let name = |folder: &String| folder.rsplit('/').next().unwrap().to_owned();
    match folder {
        "shared" => Vec::new(),
        // `operator doctor` makes the checks of `token-refresh`.
        "infra/operator" => vec!["shared".to_owned(), "token-refresh".to_owned()],
        "infra/sandbox" => crates().iter().map(name).filter(|name| name != "sandbox").collect(),
        _ => vec!["shared".to_owned()],
    }
}

#[test]
fn dependencies_point_one_way() {
    let ours: Vec<String> = crates().iter().map(|folder| folder.rsplit('/').next().unwrap().to_owned()).collect();
    for folder in crates() {
        let manifest: toml::Table =
            std::fs::read_to_string(root().join(&folder).join("Cargo.toml")).unwrap().parse().unwrap();
        let allowed = allowed(&folder);
        for dependency in manifest["dependencies"].as_table().unwrap().keys() {
            assert!(!ours.contains(dependency) || allowed.contains(dependency), "{folder} depends on {dependency}");
        }
    }
    let workspace: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    assert_eq!(members, &["shared", "functions/*", "infra/operator", "infra/sandbox", "tests"].map(toml::Value::from));
}

#[test]
fn the_rooms_of_the_shared_crate_keep_to_themselves() {
    let rooms = ["provider", "storage", "queue", "vault"];
    let hall = ["aws", "cache", "config", "http", "telemetry"];
    let shared = root().join("shared/src");
    for path in sources(&shared) {
        let inside = path.strip_prefix(&shared).unwrap().to_string_lossy().into_owned();
        let room = inside.split(['/', '.']).next().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let imports =
            |other: &str| text.contains(&format!("crate::{other}::")) || text.contains(&format!("crate::{other};"));
        for other in rooms {
            // The API layer, which several functions share, may combine modules as a function does.
            let allowed = room == other || inside == "lib.rs" || room == "api";
            assert!(allowed || !imports(other), "{inside} imports {other}");
        }
        for other in hall.iter().filter(|_| room == "domain") {
            assert!(!imports(other), "{inside} imports {other}: the domain does no I/O");
        }
        let said = inside == "domain/conversations/content.rs" || inside.starts_with("domain/outgoing/");
        if room == "domain" && !said {
            assert!(!text.contains("serde"), "{inside}: of the domain only what a message says is serialised");
        }
    }
}

#[test]
fn files_can_be_read_in_one_sitting_and_are_named_for_what_they_hold() {
    let forbidden = ["utils", "util", "helpers", "helper", "common", "manager", "misc"];
    for path in sources(&root()) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < LINES_MAX, "{} has {lines} lines", path.display());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!forbidden.contains(&name.as_str()), "{}", path.display());
    }
}

#[test]
fn log_events_of_each_crate_pass_the_filter() {
    let telemetry = std::fs::read_to_string(root().join("shared/src/telemetry.rs")).unwrap();
    for folder in crates() {
        let target = folder.rsplit('/').next().unwrap().replace('-', "_");
        assert!(telemetry.contains(&format!("\"{target}\",")), "{target} is not in `OURS`");
    }
}
