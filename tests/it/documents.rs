//! Documents that are written from the code (`UPDATE_DOCS=1 cargo test -p tests -- documents` writes them anew).

use std::path::Path;

use shared::clock::at_millis;
use shared::domain::status::{Status, StatusTimes};

const STATUSES: &str = "docs/statuses.md";

/// Every non-empty set of reported steps and the one word that is shown for it (`reliability.md` S2).
fn status_table() -> String {
    let mut table = String::from(
        "# Which status is shown\n\n\
         Meta reports steps in any order, repeatedly, and not all of them. What is stored is the set of reported steps, each \
         with its\nearliest time; what is shown is this function of the set. Written from `shared/src/domain/status.rs` by\n\
         `tests/it/documents.rs`.\n\n\
         | sent | delivered | read | played | failed | shown |\n|---|---|---|---|---|---|\n",
    );
    for set in 1_u32..1 << Status::ALL.len() {
        let mut times = StatusTimes::default();
        let mut cells = Vec::new();
        for (place, status) in Status::ALL.into_iter().enumerate() {
            let reported = set & (1 << place) != 0;
            if reported {
                times.merge(status, at_millis(1));
            }
            cells.push(if reported { "x" } else { "" });
        }
        let shown = times.furthest().unwrap().as_str();
        table.push_str(&format!("| {} | {shown} |\n", cells.join(" | ")));
    }
    table.push_str(
        "\nA failure after a delivery is not believed, a failure after `sent` is. `delivered` implies `sent`, and `read` \
         implies\n`delivered`, although their times may be unknown. The error is the first that came with a text; the price is \
         the first that\ncame with a delivery, else the one that came with `sent`.\n",
    );
    table
}

#[test]
fn the_table_of_statuses_is_the_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(STATUSES);
    let table = status_table();
    if shared::config::optional("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    assert_eq!(table.lines().filter(|line| line.ends_with(" |")).count(), 32, "31 sets and the header");
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == table, "{STATUSES} is not what the code says");
}
