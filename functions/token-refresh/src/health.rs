//! Daily check of an account's numbers: facts that only Meta knows, such as webhook settings, registration and limits.

use std::time::Duration;

use shared::clock::Timestamp;
use shared::domain::accounts::account::{Aspect, StateChange, Subject};
use shared::domain::accounts::app::{MetaApp, SignupSettings};
use shared::domain::accounts::health::{COEXISTENCE_FIELDS, FIELDS_NEEDED, Finding, HealthCheck};
use shared::domain::accounts::token::{AccessToken, TokenFacts};
use shared::domain::ids::{NumberId, WabaId};
use shared::provider::meta::accounts::{AccountNumber, Subscription, WebhookConfiguration};
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::signature;
use shared::secret::Secret;

use crate::{Deps, RefreshError};

/// Webhook object of accounts.
const OBJECT: &str = "whatsapp_business_account";
/// Timeout of requests to our own webhook endpoint.
const OWN_DOOR_TIMEOUT: Duration = Duration::from_secs(10);
/// Reason for an unknown finding: the account was connected by hand.
const BY_HAND: &str = "the token was stored by hand, so its app is unknown";
/// A webhook without content.
const EMPTY_WEBHOOK: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;

/// An app together with the one of its secrets that Meta accepts at present.
#[derive(Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) app: &'a App,
    pub(crate) secret: &'a Secret,
}

/// The app of an account's token, with decrypted secrets.
pub(crate) struct App {
    pub(crate) meta: MetaApp,
    pub(crate) settings: SignupSettings,
}

/// Fetches the account's templates. If Meta does not answer, the stored ones stay until the next day.
async fn templates(deps: &Deps, account: &WabaId, token: &AccessToken, now: Timestamp) -> Result<(), RefreshError> {
    match deps.graph.templates(token, account).await {
        Ok(listed) => deps.table.template_put_all(account, &listed, now).await?,
        Err(failure) => {
            let error = failure.error();
            tracing::warn!(event = "token_refresh.templates_not_fetched", code = error.code, title = %error.title);
            deps.metrics.count("templates", "not_fetched", 1);
        }
    }
    Ok(())
}

/// Checks all connected numbers of an account, records the findings, and fetches the account's templates.
pub(crate) async fn check_health(
    deps: &Deps,
    app: Option<&App>,
    account: &WabaId,
    token: &AccessToken,
    facts: Option<&TokenFacts>,
    now: Timestamp,
) -> Result<(), RefreshError> {
    let connected = deps.table.account_list_numbers(account).await?;
    if connected.is_empty() {
        return Ok(());
    }
    let mut shared = vec![life(facts)];
    let fields = match app {
        Some(app) => app_fields(deps, app).await,
        None => Err(BY_HAND.to_owned()),
    };
    shared.push(subscription(deps, app, account, token).await);
    shared.push(payment(deps, account, token).await);
    let numbers = deps.graph.numbers_in_detail(token, account).await;
    for id in connected {
        let mut findings = shared.clone();
        match &numbers {
            Ok(numbers) => match numbers.iter().find(|number| number.id == id.as_str()) {
                Some(number) => of_number(deps, app, &id, number, &fields, &mut findings, now).await?,
                None => findings.push(Finding::new(
                    HealthCheck::Registration,
                    false,
                    "the account has no such number at Meta",
                )),
            },
            Err(failure) => findings.push(Finding::unknown(HealthCheck::Registration, said(failure))),
        }
        deps.table.health_put_checks(&id, &findings, now).await?;
    }
    Box::pin(templates(deps, account, token, now)).await?;
    Ok(())
}

/// Records for all numbers that the token is dead; nothing else can be checked.
pub(crate) async fn dead(deps: &Deps, account: &WabaId, now: Timestamp) -> Result<(), RefreshError> {
    let finding =
        [Finding::new(HealthCheck::Token, false, "Meta reports that the token is invalid or lacks a permission")];
    for id in deps.table.account_list_numbers(account).await? {
        deps.table.health_put_checks(&id, &finding, now).await?;
    }
    Ok(())
}

async fn of_number(
    deps: &Deps,
    app: Option<&App>,
    id: &NumberId,
    number: &AccountNumber,
    fields: &Result<Vec<String>, String>,
    findings: &mut Vec<Finding>,
    now: Timestamp,
) -> Result<(), RefreshError> {
    findings.push(match fields {
        Ok(fields) => {
            let more: &[&str] = if number.is_on_biz_app { &COEXISTENCE_FIELDS } else { &[] };
            let missing: Vec<&str> = FIELDS_NEEDED
                .iter()
                .chain(more)
                .filter(|field| !fields.iter().any(|it| it == *field))
                .copied()
                .collect();
            let seen = if missing.is_empty() {
                "all required fields".to_owned()
            } else {
                format!("missing: {}", missing.join(", "))
            };
            Finding::new(HealthCheck::AppFields, missing.is_empty(), seen)
        }
        Err(why) => Finding::unknown(HealthCheck::AppFields, why),
    });
    let status = number.status.as_deref().unwrap_or("no status");
    let platform = number.platform_type.as_deref().unwrap_or("no platform");
    findings.push(Finding::new(HealthCheck::Registration, number.is_registered(), format!("{platform}, {status}")));
    findings.push(limits(number));
    findings.extend(doors(deps, app, number.webhook_configuration.as_ref()).await);
    note_limits(deps, id, number, now).await
}

/// Stores Meta's limits and ratings as states of the number. The pace follows the throughput; the others are for
/// people.
async fn note_limits(deps: &Deps, id: &NumberId, number: &AccountNumber, now: Timestamp) -> Result<(), RefreshError> {
    let told = [
        (Aspect::Throughput, number.throughput.as_ref().map(|throughput| &throughput.level)),
        (Aspect::QualityRating, number.quality_rating.as_ref()),
        (Aspect::MessagingLimit, number.messaging_limit_tier.as_ref()),
        (Aspect::NameStatus, number.name_status.as_ref()),
    ];
    for (aspect, word) in told {
        let Some(word) = word else { continue };
        let change = StateChange {
            subject: Subject::Number(id.clone()),
            aspect,
            key: None,
            word: word.clone(),
            until: None,
            detail: "{}".to_owned(),
            at: now,
            timed: true,
            alert: None,
        };
        deps.table.state_put(&change).await?;
    }
    Ok(())
}

fn limits(number: &AccountNumber) -> Finding {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "unknown".to_owned());
    let throughput = number.throughput.as_ref().map_or("unknown", |throughput| throughput.level.as_str());
    let (quality, name) = (word(&number.quality_rating), word(&number.name_status));
    let bad = quality == "RED" || ["DECLINED", "EXPIRED"].contains(&name.as_str());
    let tier = word(&number.messaging_limit_tier);
    Finding::new(
        HealthCheck::Limits,
        !bad,
        format!("quality {quality}, throughput {throughput}, limit {tier}, name {name}"),
    )
}

fn life(facts: Option<&TokenFacts>) -> Finding {
    match facts.map(TokenFacts::ends_at) {
        Some(None) => Finding::new(HealthCheck::Token, true, "valid, does not expire"),
        Some(Some(ends)) => {
            Finding::new(HealthCheck::Token, true, format!("valid until {}", ends.strftime("%Y-%m-%d")))
        }
        None => Finding::unknown(HealthCheck::Token, BY_HAND),
    }
}

async fn app_fields(deps: &Deps, app: &App) -> Result<Vec<String>, String> {
    let Some(secret) = app.meta.app_secrets.first() else { return Err("the app has no secret".to_owned()) };
    let all = deps.graph.app_subscriptions(&app.settings.client_id, secret).await.map_err(|failure| said(&failure))?;
    let ours = all.into_iter().filter(|one| one.object == OBJECT && one.active);
    Ok(ours.flat_map(|one| one.fields).map(|field| field.name).collect())
}

async fn subscription(deps: &Deps, app: Option<&App>, account: &WabaId, token: &AccessToken) -> Finding {
    let Some(app) = app else {
        return Finding::unknown(HealthCheck::AccountSubscription, BY_HAND);
    };
    match deps.graph.subscription(token, account, &app.settings.client_id).await {
        Ok(Subscription::ToApp) => Finding::new(HealthCheck::AccountSubscription, true, "to the app's callback URL"),
        Ok(Subscription::ToUrl(url)) => Finding::new(HealthCheck::AccountSubscription, true, format!("to {url}")),
        Ok(Subscription::Missing) => {
            Finding::new(HealthCheck::AccountSubscription, false, "the account's webhooks do not go to the app")
        }
        Err(failure) => Finding::unknown(HealthCheck::AccountSubscription, said(&failure)),
    }
}

async fn payment(deps: &Deps, account: &WabaId, token: &AccessToken) -> Finding {
    match deps.graph.account(token, account).await {
        Ok(known) if known.primary_funding_id.is_some() => {
            Finding::new(HealthCheck::Payment, true, "the account has a payment method")
        }
        // An account that sends only free messages needs no payment method.
        Ok(_) => Finding::unknown(HealthCheck::Payment, "Meta shows no payment method of the account"),
        Err(failure) => Finding::unknown(HealthCheck::Payment, said(&failure)),
    }
}

/// Checks the effective callback URL with the requests that Meta would make. A URL of another installation gets no
/// request, because it would receive our verify token.
async fn doors(deps: &Deps, app: Option<&App>, configuration: Option<&WebhookConfiguration>) -> Vec<Finding> {
    let nobody_knows = |why: &str| {
        [HealthCheck::Callback, HealthCheck::Handshake, HealthCheck::Signature]
            .map(|hop| Finding::unknown(hop, why))
            .to_vec()
    };
    let Some(url) = configuration.and_then(WebhookConfiguration::winner) else {
        return nobody_knows("Meta does not show where the webhooks go");
    };
    let Some(app) = app else { return nobody_knows(BY_HAND) };
    let bases: Vec<&String> = [&deps.webhook_url, &deps.public_url].into_iter().flatten().collect();
    if bases.is_empty() {
        return nobody_knows("PUBLIC_URL is not set");
    }
    let path = format!("/webhooks/meta/{}", app.meta.id);
    let ours = bases.iter().any(|base| url.strip_prefix(base.trim_end_matches('/')) == Some(&path));
    let mut findings = vec![Finding::new(HealthCheck::Callback, ours, url)];
    if !ours {
        let why = "the webhooks go elsewhere";
        findings.extend([HealthCheck::Handshake, HealthCheck::Signature].map(|hop| Finding::unknown(hop, why)));
        return findings;
    }
    findings.push(handshake(deps, app, url).await);
    findings.push(signed(deps, app, url).await);
    findings
}

async fn handshake(deps: &Deps, app: &App, url: &str) -> Finding {
    let Some(verify_token) = app.meta.verify_tokens.first() else {
        return Finding::new(HealthCheck::Handshake, false, "the app has no verify token");
    };
    let challenge = "1158201444";
    let query = [("hub.mode", "subscribe"), ("hub.challenge", challenge), ("hub.verify_token", verify_token.expose())];
    let answer = deps.doors.get(url).query(&query).timeout(OWN_DOOR_TIMEOUT).send().await;
    match answer {
        Ok(answer) => {
            let status = answer.status();
            let works = status.is_success() && answer.text().await.is_ok_and(|text| text == challenge);
            Finding::new(HealthCheck::Handshake, works, format!("answered {status}"))
        }
        Err(_) => Finding::new(HealthCheck::Handshake, false, "did not answer"),
    }
}

async fn signed(deps: &Deps, app: &App, url: &str) -> Finding {
    let Some(secret) = app.meta.app_secrets.first() else {
        return Finding::new(HealthCheck::Signature, false, "the app has no secret");
    };
    let signature = signature::sign(secret, EMPTY_WEBHOOK.as_bytes());
    let post = deps.doors.post(url).header(signature::HEADER, signature).body(EMPTY_WEBHOOK);
    match post.timeout(OWN_DOOR_TIMEOUT).send().await {
        Ok(answer) => {
            Finding::new(HealthCheck::Signature, answer.status().is_success(), format!("answered {}", answer.status()))
        }
        Err(_) => Finding::new(HealthCheck::Signature, false, "did not answer"),
    }
}

fn said(failure: &CallFailure) -> String {
    let error = failure.error();
    format!("Meta did not answer: {}", error.title)
}
