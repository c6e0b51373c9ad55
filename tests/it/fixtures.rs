//! One fixture per kind and field of `docs/meta/webhooks.md`. Each is received, and everything readable through the API
//! is compared with a snapshot (`INSTA_UPDATE=always cargo test -p tests -- fixtures` writes the snapshots).

use axum::http::StatusCode;

use crate::harness::{App, NUMBER, fixtures};

#[tokio::test]
async fn every_fixture_becomes_its_facts() {
    for fixture in fixtures::all() {
        let app = App::start().await;
        assert_eq!(app.webhook(fixture.body.to_string()).await, StatusCode::OK, "{}", fixture.name);
        app.drain().await;
        assert_eq!(app.depth(), (0, 0), "{}", fixture.name);
        let mut world = app.world().await;
        let kept_elsewhere: Vec<_> = app
            .table_items()
            .await
            .into_iter()
            .filter(|item| item["sk"]["S"] == "QUARANTINE" && item["feed"]["S"] != format!("QUARANTINE#{NUMBER}"))
            .map(|item| format!("{}: {}", item["reason"]["S"].as_str().unwrap(), item["what"]["S"].as_str().unwrap()))
            .collect();
        if !kept_elsewhere.is_empty() {
            world["kept_for_the_operator"] = kept_elsewhere.into();
        }
        let foreign = app.functions.metrics.total("status_foreign");
        if foreign > 0 {
            world["foreign_statuses"] = foreign.into();
        }
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_json_snapshot!(fixture.name.as_str(), world);
        });
    }
}
