//! Every secret is replaced while in use, by two instances with different caches (`docs/reliability.md#section-4-4`): a
//! thousand requests, many of them concurrent, and none is refused. Afterwards the old secret is used, and none is
//! accepted.

use std::cell::Cell;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::future::{join, join_all};
use sandbox::meta::{BusinessAccount, BusinessNumber, Partner, StatusOrder};
use sandbox::sandbox::seeded_account;
use sandbox::stack::Functions;
use serde_json::{Value, json};
use shared::domain::accounts::app::MetaApp;
use shared::domain::ids::{MetaAppId, NumberId, TenantId};
use shared::keyring::SystemSecretName;
use shared::provider::meta::signature::{HEADER, sign};
use shared::secret::Secret;

use crate::harness::{APP, App, NUMBER, WABA, ask, call, effort};
use crate::onboarding::{event, grant, post, shown, start};
use crate::partner::{partner, with_credit};

/// Concurrent requests.
const AT_ONCE: usize = 20;
/// Duration of a rotation, in seconds. The requests are spread over it.
const SPAN: usize = 1_000;

/// Returns the requests per rotation.
fn requests() -> usize {
    effort::count(200, 1_000)
}

/// Returns the request at which the operator replaces the secret.
fn replaced() -> usize {
    requests() / 5
}

/// Returns the request from which callers use only the new secret: more than five minutes later, as the runbook demands.
fn switched() -> usize {
    requests() * 3 / 5
}

/// Returns the seconds that [`AT_ONCE`] requests take.
fn pause() -> i64 {
    i64::try_from(AT_ONCE * SPAN / requests()).unwrap()
}

/// Two instances of each function, as on Lambda.
struct Instances(App, Functions);

impl Instances {
    async fn start() -> Self {
        let app = App::start().await;
        let other = app.stack.functions(app.graph_url()).unwrap();
        Self(app, other)
    }

    /// Returns the instances in turn.
    fn gateway(&self, index: usize) -> Router {
        if index.is_multiple_of(2) { self.0.functions.gateway() } else { self.1.gateway() }
    }

    /// Makes the requests, [`AT_ONCE`] concurrently, spread over [`SPAN`]. The secret is replaced during the batch
    /// that ends at [`replaced`]. Returns the response statuses in order of the requests.
    async fn thousand(&self, replace: impl AsyncFnOnce(), request: impl Fn(usize) -> Request<Body>) -> Vec<StatusCode> {
        let mut answers = Vec::with_capacity(requests());
        let mut replace = Some(replace);
        for first in (0..requests()).step_by(AT_ONCE) {
            let calls = (first..first + AT_ONCE).map(|index| call(self.gateway(index), request(index)));
            let replacing = async {
                if first + AT_ONCE >= replaced()
                    && let Some(replace) = replace.take()
                {
                    replace().await;
                }
            };
            let (answered, ()) = Box::pin(join(join_all(calls), replacing)).await;
            answers.extend(answered.iter().map(|answer| answer.status));
            self.0.advance(pause());
        }
        answers
    }

    /// Makes the requests without a replacement.
    async fn thousand_of(&self, request: impl Fn(usize) -> Request<Body>) -> Vec<StatusCode> {
        self.thousand(async || (), request).await
    }
}

fn refused(answers: &[StatusCode]) -> usize {
    answers.iter().filter(|status| !status.is_success()).count()
}

fn app_of(secrets: &[&str], tokens: &[&str]) -> MetaApp {
    let hidden = |all: &[&str]| all.iter().map(|one| Secret::new((*one).to_owned())).collect();
    MetaApp { id: MetaAppId::parse(APP).unwrap(), app_secrets: hidden(secrets), verify_tokens: hidden(tokens) }
}

fn webhook(secret: &str, index: usize) -> Request<Body> {
    let body = format!(r#"{{"object":"whatsapp_business_account","entry":[],"n":{index}}}"#);
    let signed = sign(&Secret::new(secret.to_owned()), body.as_bytes());
    Request::post(format!("/webhooks/meta/{APP}")).header(HEADER, signed).body(Body::from(body)).unwrap()
}

fn handshake(token: &str) -> Request<Body> {
    let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158");
    Request::get(format!("/webhooks/meta/{APP}?{query}")).body(Body::empty()).unwrap()
}

fn listing(key: &str) -> Request<Body> {
    Request::get("/v1/numbers").header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn an_app_secret_and_a_verify_token_are_replaced_and_nothing_is_refused() {
    let both = Instances::start().await;
    let (secret, token) = (both.0.seed.app_secret.clone(), both.0.seed.verify_token.clone());
    let operator = both.0.stack.operator.clone();
    let replace = async || operator.put_app(&app_of(&["new-secret", &secret], &["new-token", &token])).await.unwrap();
    let answers = both
        .thousand(replace, |index| {
            let old = index < switched();
            match index % 4 {
                0 | 1 => webhook(if old { &secret } else { "new-secret" }, index),
                _ => handshake(if old { &token } else { "new-token" }),
            }
        })
        .await;
    assert_eq!(refused(&answers), 0);
    operator.put_app(&app_of(&["new-secret"], &["new-token"])).await.unwrap();
    both.0.advance(301);
    let old = |index: usize| if index % 4 < 2 { webhook(&secret, index) } else { handshake(&token) };
    let answers = both.thousand_of(old).await;
    println!(
        "rotation: app secret and verify token: {} requests, 0 refused; then {} of the old, 0 accepted",
        requests(),
        answers.len()
    );
    assert_eq!(refused(&answers), requests());
}

#[tokio::test]
async fn an_api_key_is_replaced_and_nothing_is_refused() {
    let both = Instances::start().await;
    let old = both.0.seed.api_key.clone();
    let id = old.split('_').nth(1).unwrap_or_default().to_owned();
    let new = OnceLock::new();
    let replace = async || {
        let request = json!({"name": "next", "scopes": ["read", "send", "manage"]});
        let made = ask(&both.0, &old, "POST", "/v1/keys", request).await;
        assert_eq!(made.status, 201, "{}", made.text);
        new.set(made.json()["key"].as_str().unwrap().to_owned()).unwrap();
    };
    let answers =
        both.thousand(replace, |index| listing(if index < switched() { &old } else { new.get().unwrap() })).await;
    assert_eq!(refused(&answers), 0);
    let new = new.get().unwrap();
    let keys = ask(&both.0, new, "GET", "/v1/keys", Value::Null).await.json();
    let first = keys["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap());
    let first = first.into_iter().find(|known| old.contains(known)).unwrap_or(&id).to_owned();
    assert!(ask(&both.0, new, "DELETE", &format!("/v1/keys/{first}"), Value::Null).await.status.is_success());
    both.0.advance(61);
    let answers = both.thousand_of(|_| listing(&old)).await;
    println!("rotation: API key: {} requests, 0 refused; then {} of the old, 0 accepted", requests(), answers.len());
    assert_eq!(refused(&answers), requests());
}

#[tokio::test]
async fn the_pepper_is_replaced_and_keys_are_hashed_anew_when_they_are_used() {
    let both = Instances::start().await;
    let operator = both.0.stack.operator.clone();
    let used = both.0.seed.api_key.clone();
    let tenant = TenantId::parse(&both.0.seed.tenant_id).unwrap();
    let scopes = [shared::domain::accounts::tenant::Scope::Read];
    let unused = operator.create_key(Some(tenant), &scopes).await.unwrap();
    // Created with the new pepper, and used at once at an instance that caches the old one.
    let made = OnceLock::new();
    let replace = async || {
        assert_eq!(operator.rotate(SystemSecretName::ApiKeyPepper).await.unwrap(), 2);
        assert!(made.set(operator.create_key(Some(tenant), &scopes).await.unwrap()).is_ok());
    };
    let answers = both
        .thousand(replace, |index| match made.get() {
            Some(made) if index % 4 < 2 => listing(made.expose()),
            _ => listing(&used),
        })
        .await;
    assert_eq!(refused(&answers), 0);
    assert!(operator.rotate(SystemSecretName::ApiKeyPepper).await.is_err(), "two at a time");
    operator.drop_previous(SystemSecretName::ApiKeyPepper).await.unwrap();
    both.0.advance(301);
    assert_eq!(refused(&both.thousand_of(|_| listing(&used)).await), 0, "hashed anew");
    let answers = both.thousand_of(|_| listing(unused.expose())).await;
    println!("rotation: pepper: {} requests, 0 refused; then {} under the old, 0 accepted", requests(), answers.len());
    assert_eq!(refused(&answers), requests());
}

#[tokio::test]
async fn an_app_secret_is_replaced_and_no_message_is_lost_for_its_tokens_old_proof() {
    let app = App::start().await;
    let operator = app.stack.operator.clone();
    let number = NumberId::parse(NUMBER).unwrap();
    let number = operator.table.number_get(&number).await.unwrap().unwrap();
    let id = MetaAppId::parse(APP).unwrap();
    let token = Secret::new(app.seed.access_token.clone());
    operator.put_number(&number, &token, Some(&id)).await.unwrap();
    app.customer_writes("hello");
    app.drain().await;
    app.send("before", None).await;
    app.drain().await;
    assert_eq!(app.meta.sent_count(), 1);
    let old = app.seed.app_secret.clone();
    operator.put_app(&app_of(&["new-secret", &old], &[&app.seed.verify_token])).await.unwrap();
    // Meta still has the old secret: a check changes nothing.
    app.functions.visit_tokens().await.unwrap();
    app.advance(301);
    app.send("between", None).await;
    app.drain().await;
    assert_eq!(app.meta.sent_count(), 2);
    // Now the secret is reset at Meta.
    app.meta.put_app(sandbox::meta::MetaApp {
        client_id: "900100200300101".to_owned(),
        secret: "new-secret".to_owned(),
        callback_url: format!("/webhooks/meta/{APP}"),
    });
    app.send("after", None).await;
    app.drain().await;
    assert_eq!(app.meta.sent_count(), 2, "it waits");
    for _ in 0..20 {
        app.functions.visit_tokens().await.unwrap();
        app.advance(60);
        app.functions.tick().await.unwrap();
        app.drain().await;
    }
    assert_eq!(app.meta.sent_count(), 3);
    assert_eq!(app.functions.metrics.total("send_failed"), 0);
    println!("rotation: app secret: 3 sends, 0 lost for a proof of the old one");
}

/// Runs `work`, and replaces a secret as soon as `used` increases. `replace` gets whether the work is still running.
async fn replaced_in_use(work: impl Future<Output = ()>, used: impl Fn() -> usize, replace: impl AsyncFnOnce(bool)) {
    let (before, worked) = (used(), Cell::new(false));
    let work = async {
        work.await;
        worked.set(true);
    };
    let replacing = async {
        while used() == before && !worked.get() {
            tokio::task::yield_now().await;
        }
        replace(!worked.get()).await;
    };
    join(work, replacing).await;
}

fn customer(index: usize) -> String {
    format!("1555{:07}", 3_000_000 + index)
}

/// Sends a message to each of [`AT_ONCE`] customers, concurrently at both instances, and processes the statuses.
async fn messages(both: &Instances, replace: impl AsyncFnOnce(bool)) {
    let message = |index: usize| {
        let text = json!({"body": "Yes, from 10 to 18."});
        let body = json!({"from": NUMBER, "to": format!("+{}", customer(index)), "type": "text", "text": text});
        call(both.gateway(index), both.0.api_request("POST", "/v1/messages", Some(body), None))
    };
    for answer in Box::pin(join_all((0..AT_ONCE).map(message))).await {
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    let work = async {
        let mut worked = 1;
        while worked > 0 {
            let sent = Box::pin(join(both.0.functions.poll_outbound(), both.1.poll_outbound()));
            let stored = Box::pin(join(both.0.functions.poll_inbound(), both.1.poll_inbound()));
            let ((sent, stored), delivered) = Box::pin(join(join(sent, stored), both.0.deliver())).await;
            worked = sent.0 + sent.1 + stored.0 + stored.1 + delivered;
            // The number's rate limits the sends per instant.
            both.0.advance(1);
        }
    };
    replaced_in_use(work, || both.0.meta.sent_count(), replace).await;
    both.0.advance(pause());
}

fn total(both: &Instances, metric: &str) -> u64 {
    both.0.functions.metrics.total(metric) + both.1.metrics.total(metric)
}

/// Returns two instances and [`AT_ONCE`] customers with open windows.
async fn with_customers() -> Instances {
    let both = Instances::start().await;
    for index in 0..AT_ONCE {
        let Value::Object(hello) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
        both.0.meta.customer_writes(&customer(index), NUMBER, hello).unwrap();
    }
    both.0.drain().await;
    both
}

#[tokio::test]
async fn the_key_of_the_callback_data_is_replaced_and_no_status_is_missed() {
    let both = with_customers().await;
    let operator = &both.0.stack.operator;
    for first in (0..requests()).step_by(AT_ONCE) {
        let replace = async |in_use: bool| {
            if first == replaced() {
                assert!(in_use);
                assert_eq!(operator.rotate(SystemSecretName::CallbackMac).await.unwrap(), 2);
            }
        };
        messages(&both, replace).await;
    }
    assert_eq!(both.0.meta.sent_count(), requests());
    assert_eq!(total(&both, "send_failed") + total(&both, "send_unknown"), 0);
    assert_eq!((total(&both, "status_applied"), total(&both, "status_foreign")), (3 * requests() as u64, 0));
    let last = both.0.meta.sent().last().unwrap().biz_opaque_callback_data.clone().unwrap();
    assert!(last.starts_with("w2."), "{last}");

    // Messages sent under the old key, whose statuses arrive after it was dropped.
    both.0.meta.order_statuses(StatusOrder::Withheld);
    messages(&both, async |_| ()).await;
    assert!(operator.rotate(SystemSecretName::CallbackMac).await.is_err(), "two at a time");
    operator.drop_previous(SystemSecretName::CallbackMac).await.unwrap();
    operator.rotate(SystemSecretName::CallbackMac).await.unwrap();
    operator.drop_previous(SystemSecretName::CallbackMac).await.unwrap();
    both.0.advance(301);
    both.0.meta.order_statuses(StatusOrder::Normal);
    both.0.drain().await;
    let old = total(&both, "status_foreign");
    println!("rotation: callback key: {} statuses, 0 missed; then {old} of the old, 0 accepted", 3 * requests());
    assert_eq!((total(&both, "status_applied"), old), (3 * requests() as u64, 3 * AT_ONCE as u64));
}

#[tokio::test]
async fn an_access_token_is_replaced_and_no_send_is_refused() {
    let both = with_customers().await;
    let id = NumberId::parse(NUMBER).unwrap();
    let number = both.0.stack.operator.table.number_get(&id).await.unwrap().unwrap();
    let old = both.0.seed.access_token.clone();
    let fresh = format!("{old}-fresh");
    both.0.meta.put_token(&fresh, seeded_account());
    let store =
        async |token: &str| both.0.stack.operator.put_number(&number, &Secret::new(token.to_owned()), None).await;
    for first in (0..requests()).step_by(AT_ONCE) {
        let replace = async |in_use: bool| {
            if first == replaced() {
                assert!(in_use);
                store(&fresh).await.unwrap();
            }
            // More than five minutes later the business revokes the old token.
            if first == switched() {
                both.0.meta.withdraw_tokens(WABA);
                both.0.meta.put_token(&fresh, seeded_account());
            }
        };
        messages(&both, replace).await;
    }
    assert_eq!(both.0.meta.sent_count(), requests());
    assert_eq!(total(&both, "send_failed") + total(&both, "send_unknown"), 0);
    store(&old).await.unwrap();
    both.0.advance(301);
    for _ in 0..5 {
        messages(&both, async |_| ()).await;
    }
    let accepted = both.0.meta.sent_count() - requests();
    println!(
        "rotation: access token: {} sends, 0 refused; then {} with the old, {accepted} accepted",
        requests(),
        5 * AT_ONCE
    );
    assert_eq!(accepted, 0);
}

/// Runs concurrent signups on both instances, and replaces the token while they use it.
async fn signups(both: &Instances, numbers: std::ops::Range<usize>, replace: impl AsyncFnOnce(bool)) -> Vec<Value> {
    let mut begun = Vec::new();
    for index in numbers {
        let (account, number) = (format!("9001002004{index:05}"), format!("9001002005{index:05}"));
        let of_business = BusinessNumber {
            id: number.clone(),
            display_phone_number: format!("1555{:07}", 2_000_000 + index),
            ..BusinessNumber::default()
        };
        let known = BusinessAccount { id: account.clone(), numbers: vec![of_business], ..BusinessAccount::default() };
        both.0.meta.put_account(known);
        let started = start(&both.0).await;
        let code = both.0.meta.popup(grant(&[&account]));
        let ids = json!({"waba_id": account, "phone_number_id": number, "business_id": "900100200300001"});
        post(&both.0, &started, json!({"code": code, "event": event("FINISH", &ids)})).await;
        begun.push(started);
    }
    let work = async {
        for _ in 0..10 {
            while Box::pin(join(both.0.functions.poll_onboarding(), both.1.poll_onboarding())).await != (0, 0) {}
            both.0.advance(60);
        }
    };
    replaced_in_use(work, || both.0.meta.calls_of("assigned_users"), replace).await;
    let mut ended = Vec::new();
    for started in begun {
        ended.push(shown(&both.0, &started).await);
    }
    ended
}

#[tokio::test]
async fn the_token_of_our_system_user_is_replaced_and_no_signup_fails() {
    let all = effort::count(6, 15) * AT_ONCE;
    let both = Instances::start().await;
    with_credit(&both.0).await;
    let old = partner().tokens;
    let id = MetaAppId::parse(APP).unwrap();
    let operator = &both.0.stack.operator;
    let settings = operator.table.signup_settings_get(&id).await.unwrap().unwrap();
    let store = async |token: &str| operator.put_signup(&id, &settings, Some(&Secret::new(token.to_owned()))).await;
    let good = |tokens: Vec<String>| both.0.meta.put_partner(Partner { tokens, ..partner() });
    let connected = |ended: &[Value]| ended.iter().filter(|one| one["status"] == "connected").count();
    let mut done = 0;
    for first in (0..all).step_by(AT_ONCE) {
        let ended = if first == all / 3 {
            good(vec![old[0].clone(), "EAAnextsystemtoken".to_owned()]);
            let replace = async |in_use: bool| {
                assert!(in_use);
                store("EAAnextsystemtoken").await.unwrap();
            };
            Box::pin(signups(&both, first..first + AT_ONCE, replace)).await
        } else {
            if first == all / 3 * 2 {
                good(vec!["EAAnextsystemtoken".to_owned()]);
            }
            signups(&both, first..first + AT_ONCE, async |_| ()).await
        };
        done += connected(&ended);
    }
    assert_eq!(done, all);
    let calls: usize =
        ["assigned_users", "credit_shares", "credit_share"].map(|one| both.0.meta.calls_of(one)).iter().sum();
    store(&old[0]).await.unwrap();
    let ended = signups(&both, all..all + 5, async |_| ()).await;
    println!(
        "rotation: system user's token: {calls} calls of {all} signups, 0 refused; then {} with the old, 0 connected",
        ended.len()
    );
    assert_eq!(connected(&ended), 0);
}
