//! Embedded AWS: answers the SDK's requests in this process. It supports exactly the operations that Switchboard uses;
//! every other operation is refused by name.
//!
//! * DynamoDB by `dynoxide`, on SQLite: real expressions, conditions, transactions and indexes; no throttling.
//! * S3 (module `s3`), written here, on a folder: no lifecycle rules, so the raw archive is not emptied after 8 days.
//! * SQS ([`sqs`]) and KMS ([`kms`]): written here. SQS delivers no duplicates unless a test asks for them.
//!
//! Signatures are not checked (except of signed S3 links), and without [`EmbeddedAws::set_permissions`] everything is
//! allowed: only the developer can reach the port.

pub mod capacity;
mod connector;
mod dynamodb;
pub mod faults;
pub mod kms;
pub mod permissions;
mod s3;
pub mod sqs;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use shared::aws::AwsConfig;
use shared::clock::Clock;

use capacity::{Capacity, Meter};
use faults::{Faults, Verdict};
use kms::Kms;
use permissions::Permissions;
use sqs::Sqs;

/// The region that embedded AWS reports.
pub const REGION: &str = "us-east-1";
/// The account id in names and ARNs. No real account has it.
pub const ACCOUNT: &str = "000000000000";

/// An error in the form of AWS's JSON protocols.
#[derive(Debug)]
pub(crate) struct AwsError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl AwsError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }
}

/// Receives each request's operation and body, and may change the body. Tests use it to record what the functions send,
/// or to plant a bug without touching the functions' code.
pub type Tap = Arc<dyn Fn(&str, Bytes) -> Bytes + Send + Sync>;

/// The four embedded services of one installation.
pub struct EmbeddedAws {
    dynamodb: dynoxide::Database,
    s3: s3::Buckets,
    kms: Kms,
    sqs: Sqs,
    faults: Arc<Faults>,
    tap: Mutex<Option<Tap>>,
    permissions: Mutex<Option<Permissions>>,
    meter: Meter,
    // Deletes the bucket folder of an in-memory installation when the last user is dropped.
    _bucket_folder: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for EmbeddedAws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmbeddedAws")
    }
}

impl EmbeddedAws {
    /// Starts the services: empty and in memory, or with the state in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be used. The message names it.
    pub fn start(folder: Option<&Path>, clock: Clock, faults: Arc<Faults>) -> Result<Self, String> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?),
        };
        let dynamodb = match folder {
            Some(folder) => {
                let file = folder.join("dynamodb.sqlite");
                dynoxide::Database::new(&file.to_string_lossy())
                    .map_err(|error| format!("{} cannot be used: {error}", file.display()))?
            }
            None => dynoxide::Database::memory().map_err(|error| format!("no database in memory: {error}"))?,
        };
        let objects = match (folder, &temporary) {
            (Some(folder), _) => folder.join("s3"),
            (None, Some(temporary)) => temporary.path().join("s3"),
            (None, None) => return Err("no folder for objects".to_owned()),
        };
        Ok(Self {
            dynamodb,
            s3: s3::Buckets::below(objects),
            kms: Kms::open(folder.map(|folder| folder.join("kms.json")))?,
            sqs: Sqs::open(clock, folder.map(|folder| folder.join("sqs.json")))?,
            faults,
            tap: Mutex::default(),
            permissions: Mutex::default(),
            meter: Meter::default(),
            _bucket_folder: temporary,
        })
    }

    /// Returns SQS, for pollers.
    #[must_use]
    pub fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    /// Returns KMS, to create a key.
    #[must_use]
    pub fn kms(&self) -> &Kms {
        &self.kms
    }

    /// Creates a bucket unless it exists.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn create_bucket(&self, name: &str) -> Result<(), String> {
        self.s3.create(name)
    }

    /// Starts counting DynamoDB's consumed capacity, from zero.
    pub fn start_meter(&self) {
        self.meter.start();
    }

    /// Returns the capacity consumed since [`EmbeddedAws::start_meter`].
    #[must_use]
    pub fn consumed(&self) -> Capacity {
        self.meter.consumed()
    }

    /// Sets the tap for all later requests, or removes it.
    pub fn set_tap(&self, tap: Option<Tap>) {
        *self.tap.lock().unwrap_or_else(PoisonError::into_inner) = tap;
    }

    /// Checks every later request against `permissions`.
    pub fn set_permissions(&self, permissions: Permissions) {
        *self.permissions.lock().unwrap_or_else(PoisonError::into_inner) = Some(permissions);
    }

    /// Returns the first permission that the request needs and its signer does not have, as AWS's error text.
    fn refusal(&self, target: Option<&str>, request: &Request<Bytes>) -> Option<String> {
        let permissions = self.permissions.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let signer = permissions::signer(request)?;
        let refused = permissions::asked(target, request).into_iter().find(|asked| !permissions(&signer, asked))?;
        Some(format!("{signer} is not authorized to perform {} on {}", refused.action, refused.resource))
    }

    /// Returns an AWS configuration whose clients are answered by this instance.
    #[must_use]
    pub fn config(self: &Arc<Self>) -> AwsConfig {
        AwsConfig::embedded(connector::connector(self.clone()))
    }

    /// Answers one request, unless a fault is ordered for it.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let name = target.clone().unwrap_or_else(|| format!("S3.{}", request.method()));
        let tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = match tap {
            Some(tap) => request.map(|body| tap(&name, body)),
            None => request,
        };
        if let Some(refusal) = self.refusal(target.as_deref(), &request) {
            return problem(400, "AccessDeniedException", &refusal);
        }
        // A network lets other tasks run, both before the request arrives and before the response does.
        tokio::task::yield_now().await;
        let response = self.answer_now(&name, target.as_deref(), request).await;
        tokio::task::yield_now().await;
        response
    }

    async fn answer_now(&self, name: &str, target: Option<&str>, request: Request<Bytes>) -> Response<Bytes> {
        match self.faults.enter(name) {
            Verdict::Proceed => self.dispatch(target, request).await,
            Verdict::Unavailable => problem(503, "ServiceUnavailable", "ordered by a fault"),
            Verdict::LostReply => {
                let answered = self.dispatch(target, request).await;
                drop(answered);
                problem(503, "ServiceUnavailable", "the reply was lost, as ordered by a fault")
            }
            Verdict::CrashBefore => self.faults.crash().await,
            Verdict::CrashAfter => {
                self.dispatch(target, request).await;
                self.faults.crash().await
            }
        }
    }

    async fn dispatch(&self, target: Option<&str>, request: Request<Bytes>) -> Response<Bytes> {
        let Some(target) = target else { return s3::answer(&self.s3, &request) };
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let (service, operation) = target.split_once('.').unwrap_or((target, ""));
        match service {
            "DynamoDB_20120810" => {
                let body = self.meter.asking(operation, body);
                let (status, body) = dynamodb::answer(&self.dynamodb, operation, &body);
                self.meter.read(operation, &body);
                reply(status, body)
            }
            "AmazonSQS" => json_reply(self.sqs.answer(operation, &body).await),
            "TrentService" => json_reply(self.kms.answer(operation, &body)),
            _ => problem(400, "UnknownOperationException", "embedded AWS has no such service"),
        }
    }
}

fn json_reply(answer: Result<Value, AwsError>) -> Response<Bytes> {
    match answer {
        Ok(value) => reply(200, value.to_string()),
        Err(error) => problem(error.status, error.code, &error.message),
    }
}

fn problem(status: u16, code: &str, message: &str) -> Response<Bytes> {
    let mut response = reply(status, json!({"__type": code, "message": message}).to_string());
    if code == sqs::NO_SUCH_QUEUE {
        // SQS also sends the error's name in its older protocol, and SDKs prefer that one.
        let older = http::HeaderValue::from_static("AWS.SimpleQueueService.NonExistentQueue;Sender");
        response.headers_mut().insert("x-amzn-query-error", older);
    }
    response
}

fn reply(status: u16, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = http::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
