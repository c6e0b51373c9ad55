//! The catalogue of log events: `docs/events.md` lists exactly the events that the functions log.

use std::collections::BTreeSet;

use crate::architecture::{root, sources};

#[test]
fn every_event_that_is_logged_is_in_the_catalogue() {
    let mut logged = BTreeSet::new();
    for path in ["functions", "shared/src"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let text = std::fs::read_to_string(path).unwrap();
        let names = text.split("event = \"").skip(1).filter_map(|rest| rest.split('"').next());
        logged.extend(names.map(str::to_owned));
    }
    let catalogue = std::fs::read_to_string(root().join("docs/events.md")).unwrap();
    let known: BTreeSet<String> =
        catalogue.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned)).collect();
    assert_eq!(logged.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "not in docs/events.md");
    assert_eq!(known.difference(&logged).collect::<Vec<_>>(), Vec::<&String>::new(), "no longer logged");
}

#[test]
fn what_the_runbooks_call_exists_and_takes_the_key_they_name() {
    let described = std::fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let routes: Vec<(String, Vec<String>)> = sandbox::stack::routes()
        .map(|(method, path)| (method.to_uppercase(), path.split('/').map(str::to_owned).collect()))
        .collect();
    let mut called = 0;
    for entry in std::fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap().replace('\n', " ");
        for (before, call) in text.match_indices("$API/v1/").map(|(at, _)| (&text[..at], &text[at + 4..])) {
            let method = before.trim_end().rsplit([' ', '`']).next().unwrap();
            let path_called = call.split([' ', '`', '"', '?']).next().unwrap();
            let parts: Vec<&str> = path_called.split('/').collect();
            let found = routes.iter().find(|(known, template)| {
                let fits =
                    |(part, given): (&String, &&str)| part == given || part.starts_with('{') && given.starts_with('<');
                known == method && template.len() == parts.len() && template.iter().zip(&parts).all(fits)
            });
            let (_, template) = found.unwrap_or_else(|| panic!("{}: {method} {path_called}", path.display()));
            // The route must accept a tenant's key, unless the runbook names an operator's.
            let security = &described["paths"][template.join("/")][method.to_lowercase()]["security"];
            let by_tenant = security.as_array().unwrap().iter().any(|way| way["key"][0] != "operator");
            assert!(by_tenant || text.contains("an operator's key"), "{}: {method} {path_called}", path.display());
            called += 1;
        }
    }
    assert!(called > 20, "{called}");
}
