//! Receives a webhook: body limit, signature over the raw bytes, durable enqueue, 200; in this order, and nothing else.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use shared::domain::ids::MetaAppId;
use shared::limits::WEBHOOK_BODY_MAX;
use shared::provider::meta::signature::{self, AuthenticBody, UnverifiedSignature};
use shared::queue::{InboundJob, Packed, Payload};

use crate::{Deps, Unavailable};

/// Bytes read from an oversized body before the connection is closed.
const DISCARD_MAX: usize = 32 * 1024 * 1024;
/// Longest SQS message group, in characters.
const GROUP_MAX: usize = 128;

pub(crate) async fn receive(
    State(deps): State<Arc<Deps>>,
    path: Result<Path<String>, PathRejection>,
    context: Option<Extension<lambda_http::Context>>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let body = match read(body).await {
        Ok(body) => body,
        Err(TooLarge) => {
            deps.metrics.count("webhook_too_large", "body", 1);
            return reject(&deps, "too_large", StatusCode::PAYLOAD_TOO_LARGE);
        }
    };
    let Some(unverified) = signature_of(&headers) else {
        return reject(&deps, "no_signature", StatusCode::UNAUTHORIZED);
    };
    let app = match deps.app(&path.map(|Path(app)| app).unwrap_or_default()).await {
        Ok(Some(app)) => app,
        Ok(None) => return reject(&deps, "unknown_app", StatusCode::UNAUTHORIZED),
        Err(Unavailable) => return reject(&deps, "unavailable", StatusCode::SERVICE_UNAVAILABLE),
    };
    let Some(authentic) = signature::verify(&app.app_secrets, unverified, body) else {
        deps.metrics.count("webhook_bad_signature", "meta", 1);
        return reject(&deps, "signature", StatusCode::UNAUTHORIZED);
    };
    let trace = context.and_then(|Extension(context)| context.xray_trace_id);
    match enqueue(&deps, app.id, &authentic, trace.as_deref()).await {
        Ok(()) => {
            tracing::debug!(event = "webhook.accepted", bytes = authentic.bytes().len());
            deps.metrics.count("webhook_received", "meta", 1);
            StatusCode::OK
        }
        Err(Unavailable) => reject(&deps, "unavailable", StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// The body exceeds the limit for webhooks.
struct TooLarge;

/// Reads the whole body. An oversized body is read further and discarded, because a sender that is cut off would never
/// see the response. A truncated body is returned as it is; its signature will not match.
async fn read(body: Body) -> Result<Bytes, TooLarge> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        length += chunk.len();
        if length <= WEBHOOK_BODY_MAX {
            whole.extend_from_slice(&chunk);
        } else if length > DISCARD_MAX {
            break;
        }
    }
    if length > WEBHOOK_BODY_MAX { Err(TooLarge) } else { Ok(whole.freeze()) }
}

/// Returns the signature, if there is exactly one header with a well-formed value.
fn signature_of(headers: &HeaderMap) -> Option<UnverifiedSignature> {
    let mut values = headers.get_all(signature::HEADER).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    UnverifiedSignature::parse(only.as_bytes())
}

async fn enqueue(deps: &Deps, app: MetaAppId, body: &AuthenticBody, trace: Option<&str>) -> Result<(), Unavailable> {
    let body = body.bytes();
    let group = group_of(body, &app);
    let payload = match Payload::pack(body).map_err(|error| Unavailable::log("gzip", &error))? {
        Packed::Fits(payload) => payload,
        Packed::TooLarge(gzip) => {
            let stored = deps.door.keep(Bytes::from(gzip)).await;
            Payload::Stored(stored.map_err(|error| Unavailable::log("archive", &error))?)
        }
    };
    let job = InboundJob { app, received_at: deps.clock.now(), payload, done: 0, replayed: false, kept: None };
    let job = job.encode().map_err(|error| Unavailable::log("job", &error))?;
    deps.door.enqueue(&job, &group, trace).await.map_err(|error| Unavailable::log("queue", &error))
}

/// Returns the message group: the first phone number id in the body, found without parsing, or else the app. The id is
/// unverified and serves only for fair queueing.
fn group_of(body: &[u8], app: &MetaAppId) -> String {
    const KEY: &[u8] = b"\"phone_number_id\"";
    let after = memchr::memmem::find(body, KEY).map(|at| &body[at + KEY.len()..]).unwrap_or_default();
    let digits = |bytes: &[u8]| -> String {
        bytes.iter().take_while(|byte| byte.is_ascii_digit()).take(GROUP_MAX).map(|byte| char::from(*byte)).collect()
    };
    let value: &[u8] = after.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start).unwrap_or_default();
    let id = digits(value.strip_prefix(b"\"").unwrap_or(value));
    if id.is_empty() { app.as_str().chars().take(GROUP_MAX).collect() } else { id }
}

fn reject(deps: &Deps, reason: &str, status: StatusCode) -> StatusCode {
    tracing::debug!(event = "webhook.rejected", reason);
    deps.metrics.count("webhook_rejected", reason, 1);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_the_number_and_its_scan_cannot_fail() {
        let app = MetaAppId::parse("main").unwrap();
        let cases: [(&[u8], &str); 8] = [
            (br#"{"metadata":{"phone_number_id":"900100200300501"}}"#, "900100200300501"),
            (br#"{"phone_number_id" :  "12", "phone_number_id":"34"}"#, "12"),
            (br#"{"phone_number_id":12}"#, "12"),
            (br#"{"phone_number_id":"#, "main"),
            (br#"{"phone_number_id"#, "main"),
            (br#"{"phone_number_id":"x"}"#, "main"),
            (b"", "main"),
            (b"\xff\xfe\"phone_number_id\":\"7", "7"),
        ];
        for (body, group) in cases {
            assert_eq!(group_of(body, &app), group);
        }
        let endless = [br#""phone_number_id":""#.as_slice(), &[b'1'; 4_000]].concat();
        assert_eq!(group_of(&endless, &app).len(), GROUP_MAX);
    }
}
