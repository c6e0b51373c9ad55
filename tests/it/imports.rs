//! Imports between the modules of each crate contain no circle: a module can be read with those that it imports, and
//! without those that import it.
//!
//! An import of an ancestor (`crate::Deps`, or what a folder re-exports) is not counted: a crate's root declares its
//! modules, and its modules use what the root declares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::architecture::{crates, root, sources};

/// Modules of a crate, each with the modules that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Returns the module of a file, such as `storage::table::keys`; empty for the crate's root.
fn module_of(file: &str) -> String {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" || path == "main" || path == "mod" { String::new() } else { path.replace('/', "::") }
}

/// Returns all paths of a text that begin with `crate` or `super`, with the braces of imports written out.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        let starts = text.match_indices(word).map(|(at, _)| at);
        for at in starts.filter(|at| !text[..*at].ends_with(|before: char| before.is_alphanumeric() || before == ':')) {
            expand(&text[at..], String::new(), &mut found);
        }
    }
    found
}

/// Expands one path from the beginning of `text`; returns the length that was read.
fn expand(text: &str, mut prefix: String, found: &mut Vec<String>) -> usize {
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        if letter.is_alphanumeric() || letter == '_' || letter == ':' {
            prefix.push(letter);
            at += letter.len_utf8();
        } else if letter == '{' && prefix.ends_with("::") {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
                if text[at..].starts_with('}') || text[at..].is_empty() {
                    return at + 1;
                }
                let read = expand(&text[at..], prefix.clone(), found);
                // `self`, `as name` and anything else is passed over.
                at += read.max(1);
            }
        } else {
            break;
        }
    }
    found.push(prefix);
    at
}

/// Removes comments, and the inline modules of tests.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Returns the module that a path leads to from `from`: the longest one that exists.
fn target(path: &str, from: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut absolute: Vec<&str> = Vec::new();
    let mut rest = path;
    if let Some(inner) = path.strip_prefix("crate::") {
        rest = inner;
    } else {
        absolute = from.split("::").collect();
        while let Some(inner) = rest.strip_prefix("super::") {
            absolute.pop();
            rest = inner;
        }
    }
    absolute.extend(rest.split("::").filter(|part| !part.is_empty()));
    (1..=absolute.len()).rev().map(|length| absolute[..length].join("::")).find(|module| modules.contains(module))
}

fn imports(folder: &Path) -> Imports {
    let files = sources(folder);
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    let modules: BTreeSet<String> = files.iter().map(|path| module_of(&name(path))).filter(|m| !m.is_empty()).collect();
    let mut imports = Imports::new();
    for path in files {
        let from = module_of(&name(&path));
        let text = code_of(&std::fs::read_to_string(&path).unwrap());
        let is_ancestor = |to: &String| from == *to || from.starts_with(&format!("{to}::"));
        let to = paths(&text).into_iter().filter_map(|path| target(&path, &from, &modules));
        let to: BTreeSet<String> = to.filter(|to| !is_ancestor(to)).collect();
        if !from.is_empty() {
            imports.entry(from).or_default().extend(to);
        }
    }
    imports
}

/// Returns the modules that import themselves through others.
fn circles(imports: &Imports) -> Vec<String> {
    let mut found = Vec::new();
    for start in imports.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![(start, vec![start.as_str()])]);
        while let Some((module, way)) = next.pop() {
            for to in imports.get(module).into_iter().flatten() {
                if to == start {
                    found.push(format!("{} -> {start}", way.join(" -> ")));
                } else if seen.insert(to) {
                    next.push((to, way.iter().copied().chain([to.as_str()]).collect()));
                }
            }
        }
    }
    found
}

#[test]
fn no_module_imports_itself_through_others() {
    let (mut modules, mut arrows, mut found) = (0, 0, Vec::new());
    for folder in crates() {
        let imports = imports(&root().join(&folder).join("src"));
        modules += imports.len();
        arrows += imports.values().map(BTreeSet::len).sum::<usize>();
        found.extend(circles(&imports).into_iter().map(|circle| format!("{folder}: {circle}")));
    }
    println!("imports: {modules} modules, {arrows} arrows, {} circles", found.len());
    assert!(modules > 200 && arrows > 300, "{modules} {arrows}");
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_circle_is_found() {
    let imports = |of: &[(&str, &[&str])]| -> Imports {
        let owned = |to: &[&str]| to.iter().map(|one| (*one).to_owned()).collect();
        of.iter().map(|(from, to)| ((*from).to_owned(), owned(to))).collect()
    };
    assert_eq!(circles(&imports(&[("a", &["b"]), ("b", &["c"]), ("c", &[])])), Vec::<String>::new());
    assert!(circles(&imports(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])])).contains(&"a -> b -> c -> a".to_owned()));
    let modules = ["a", "a::b", "c"].map(str::to_owned).into_iter().collect();
    let text = "use crate::{a::b::{self, X}, c::Y};\nuse super::Z;";
    let to: BTreeSet<String> = paths(text).iter().filter_map(|path| target(path, "a::b", &modules)).collect();
    assert_eq!(to, ["a", "a::b", "c"].map(str::to_owned).into_iter().collect());
}
