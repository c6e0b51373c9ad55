//! The walk of an erasure meets every kind of item: the compiler names each match that a new kind needs, and this test
//! each example.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::storage::ItemKind;

use crate::harness::App;
use crate::offboarding::{both_live, hours, leave, nothing_is_left, state};
use crate::onboarding::{ACCOUNT, NEW};

/// Returns the kinds of the items in the table.
async fn kinds(app: &App) -> BTreeSet<ItemKind> {
    let text = |item: &Value, name: &str| item[name]["S"].as_str().unwrap().to_owned();
    let kind = |item: &Value| {
        let (pk, sk) = (text(item, "pk"), text(item, "sk"));
        ItemKind::of(&pk, &sk).unwrap_or_else(|| panic!("{pk} {sk} has no kind"))
    };
    app.table_items().await.iter().map(kind).collect()
}

/// The offboarding tests' world has most kinds; the others are put in, of the leaving tenant where there is one.
#[tokio::test]
async fn an_item_of_every_kind_is_walked_and_nothing_is_left() {
    let (app, other) = Box::pin(both_live()).await;
    let lived = kinds(&app).await;
    let missing: Vec<ItemKind> = ItemKind::ALL.iter().copied().filter(|kind| !lived.contains(kind)).collect();
    println!("item kinds: {} of {} in the world; put in: {missing:?}", lived.len(), ItemKind::ALL.len());
    for kind in missing {
        let example = example(kind, &other.tenant.to_string());
        let attributes = [("pk", example.pk), ("sk", example.sk)].into_iter().chain(example.attributes);
        app.put_item(&attributes.map(|(name, value)| (name.to_owned(), value.into())).collect()).await;
    }
    assert_eq!(kinds(&app).await.len(), ItemKind::ALL.len());
    let id = leave(&app, &other).await["id"].clone();
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &id).await["status"], "done");
    nothing_is_left(&app, &other, "every kind").await;
}

/// An item to put into the table.
struct Example {
    pk: String,
    sk: String,
    attributes: Vec<(&'static str, String)>,
}

/// Returns an item of a kind that the world lacks.
fn example(kind: ItemKind, tenant: &str) -> Example {
    let contact = tenant.replace("ten_", "con_");
    let item = |pk: String, sk: &str| Example { pk, sk: sk.to_owned(), attributes: Vec::new() };
    let with = |pk: &str, sk: &str, attributes: &[(&'static str, &str)]| {
        let attributes = attributes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Example { pk: pk.to_owned(), sk: sk.to_owned(), attributes }
    };
    let of_number = |sk: &str| item(format!("NUMBER#{NEW}"), sk);
    let of_account = |sk: &str| item(format!("WABA#{ACCOUNT}"), sk);
    let of_conversation = |sk: &str| item(format!("CONV#{NEW}#{contact}"), sk);
    match kind {
        ItemKind::History => of_number("HISTORY#0"),
        ItemKind::NumberState => of_number("STATE#quality"),
        ItemKind::File => of_number("FILE#1"),
        ItemKind::AccountState => of_account("STATE#review"),
        ItemKind::TemplateState => of_account("TEMPLATE#1#status"),
        ItemKind::Template => of_account("NAMED#hello#en"),
        ItemKind::TemplateMirror => of_account("MIRROR"),
        ItemKind::Note => of_conversation("NOTE#1"),
        ItemKind::Annotation => of_conversation("ANNOTATION#wamid.1"),
        ItemKind::Preference => item(format!("CONTACT#{contact}"), &format!("WANTS#{ACCOUNT}#marketing")),
        ItemKind::Restraint => item(format!("CONTACT#{contact}"), &format!("RESTRAINT#{ACCOUNT}")),
        ItemKind::Contact => with(&format!("CONTACT#{contact}"), "CONTACT", &[("tenant", tenant)]),
        ItemKind::Merge => with("MERGE#1", "MERGE", &[("tenant", tenant), ("one", &contact), ("other", &contact)]),
        ItemKind::Alert => with("ALERT#1", "ALERT", &[("subject_id", NEW)]),
        ItemKind::Replay => with("REPLAY#1", "REPLAY", &[("tenant", tenant)]),
        ItemKind::Erasure => with("ERASURE#1", "ERASURE", &[("tenant", tenant)]),
        // Of the installation, or of nobody who leaves.
        ItemKind::Offboarding => item("OFFBOARDING#off_1".to_owned(), "OFFBOARDING"),
        ItemKind::Deletion => item("DELETION#1".to_owned(), "DELETION"),
        ItemKind::AccountGone => item("WABA#1".to_owned(), "GONE"),
        ItemKind::PortfolioState => item("PORTFOLIO#1".to_owned(), "STATE#1"),
        ItemKind::Ledger => item("LEDGER".to_owned(), "LEDGER"),
        other => panic!("the offboarding tests' world lost {other:?}: give an example of it here"),
    }
}
