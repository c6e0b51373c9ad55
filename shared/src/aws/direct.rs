//! AWS without its SDK, for the webhook function, which is invoked thousands of times per second: the official signer,
//! one pooled HTTP client, and calls to DynamoDB, KMS, SQS and S3. Handles twice as many webhooks per CPU-second as the
//! SDK (figures in DECISIONS.md).

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::Deserialize;

use super::OPERATION_TIMEOUT;
use crate::clock::Clock;
use crate::random;

/// Time limit of one try: three tries and the waits between them fit into [`OPERATION_TIMEOUT`].
const TRY_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Longest wait before the second try; it doubles before each further try.
const BACKOFF: Duration = Duration::from_millis(100);

/// Error codes that come with status 400 although the call may succeed later, besides all codes about throttling.
const LATER: [&str; 5] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "SlowDown",
    "TransactionInProgressException",
];

/// An AWS service, as endpoints and signatures name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB.
    DynamoDb,
    /// KMS.
    Kms,
    /// SQS.
    Sqs,
    /// S3.
    S3,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Kms => "kms",
            Self::Sqs => "sqs",
            Self::S3 => "s3",
        }
    }
}

/// The reason why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectError {
    /// The service did not answer, or is unavailable for now.
    #[error("AWS did not answer: {0}")]
    Unavailable(String),
    /// The service refused, with this error code.
    #[error("AWS refused the call: {0}")]
    Refused(String),
}

/// Signs requests and sends them.
#[derive(Debug, Clone)]
pub struct Direct {
    pub(super) connector: SharedHttpConnector,
    pub(super) identity: Identity,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) attempts: u32,
}

/// A request before it is signed.
struct Unsigned<'a> {
    method: &'static str,
    service: Service,
    url: String,
    headers: Vec<(&'static str, &'a str)>,
    body: Bytes,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "__type", default)]
    kind: String,
}

impl Direct {
    /// Calls an operation of a JSON protocol, such as `AmazonSQS.SendMessage`. `trace` is Lambda's trace header, which
    /// SQS passes on to the receiver.
    ///
    /// # Errors
    /// When the service refuses, or does not answer within all tries.
    pub async fn call(
        &self,
        service: Service,
        target: &'static str,
        body: String,
        trace: Option<&str>,
    ) -> Result<Bytes, DirectError> {
        let json = if service == Service::Kms { "application/x-amz-json-1.1" } else { "application/x-amz-json-1.0" };
        let headers = [("content-type", json), ("x-amz-target", target)];
        let trace = trace.map(|trace| ("x-amzn-trace-id", trace));
        let headers = headers.into_iter().chain(trace).collect();
        let url = format!("{}/", self.host(service));
        self.surely(&Unsigned { method: "POST", service, url, headers, body: body.into() }).await
    }

    /// Stores an object in S3.
    ///
    /// # Errors
    /// As [`Direct::call`].
    pub async fn put_object(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), DirectError> {
        // With an endpoint set the bucket is in the path, as emulators require.
        let url = match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}/{key}"),
            None => self.host(Service::S3).replacen("https://", &format!("https://{bucket}."), 1) + "/" + key,
        };
        self.surely(&Unsigned { method: "PUT", service: Service::S3, url, headers: Vec::new(), body }).await?;
        Ok(())
    }

    fn host(&self, service: Service) -> String {
        let partition = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let own = || format!("https://{}.{}.{partition}", service.name(), self.region);
        self.endpoint.clone().unwrap_or_else(own)
    }

    /// Retries until the call succeeds, is refused, or has used all tries.
    async fn surely(&self, unsigned: &Unsigned<'_>) -> Result<Bytes, DirectError> {
        let tries = async {
            let mut tried = 1;
            loop {
                let outcome = tokio::time::timeout(TRY_TIMEOUT, self.once(unsigned)).await;
                let outcome = outcome.unwrap_or_else(|_| Err(DirectError::Unavailable("no answer".to_owned())));
                if tried >= self.attempts || !matches!(outcome, Err(DirectError::Unavailable(_))) {
                    return outcome;
                }
                tokio::time::sleep(backoff(tried)).await;
                tried += 1;
            }
        };
        let outcome = tokio::time::timeout(OPERATION_TIMEOUT, tries).await;
        outcome.unwrap_or_else(|_| Err(DirectError::Unavailable("no answer".to_owned())))
    }

    async fn once(&self, unsigned: &Unsigned<'_>) -> Result<Bytes, DirectError> {
        let unavailable = |what: &dyn std::fmt::Display| DirectError::Unavailable(what.to_string());
        let request = self.signed(unsigned)?;
        let request = HttpRequest::try_from(request).map_err(|error| unavailable(&error))?;
        let response = self.connector.call(request).await.map_err(|error| unavailable(&error))?;
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await.map_err(|error| unavailable(&error))?.to_bytes();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let code = code_of(&answer).unwrap_or_else(|| status.to_string());
        let later = status >= 500
            || status == StatusCode::TOO_MANY_REQUESTS.as_u16()
            || code.contains("hrottl")
            || LATER.contains(&code.as_str());
        Err(if later { DirectError::Unavailable(code) } else { DirectError::Refused(code) })
    }

    fn signed(&self, unsigned: &Unsigned<'_>) -> Result<Request<SdkBody>, DirectError> {
        let Unsigned { method, service, url, headers, body } = unsigned;
        let refused = |what: &dyn std::fmt::Display| DirectError::Refused(what.to_string());
        let mut settings = SigningSettings::default();
        if *service == Service::S3 {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(service.name())
            .time(SystemTime::from(Clock::system().now()))
            .settings(settings)
            .build()
            .map_err(|error| refused(&error))?
            .into();
        let mut request = Request::builder().method(*method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = request.header(header::CONTENT_LENGTH, body.len());
        let mut request = request.body(SdkBody::from(body.clone())).map_err(|error| refused(&error))?;
        // The trace header changes on its way, so it is not signed.
        let signed_headers = headers.iter().filter(|(name, _)| *name != "x-amzn-trace-id").copied();
        let signable = SignableRequest::new(method, url, signed_headers, SignableBody::Bytes(body));
        let (instructions, _) = sign(signable.map_err(|error| refused(&error))?, &parameters)
            .map_err(|error| refused(&error))?
            .into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// Returns the error code of a response: JSON, or XML from S3.
fn code_of(answer: &[u8]) -> Option<String> {
    if let Ok(fault) = serde_json::from_slice::<Fault>(answer) {
        return fault.kind.rsplit('#').next().filter(|code| !code.is_empty()).map(str::to_owned);
    }
    let (_, rest) = std::str::from_utf8(answer).ok()?.split_once("<Code>")?;
    rest.split('<').next().map(str::to_owned)
}

/// Returns a random wait between half and all of the backoff, so that calls that failed together are not retried
/// together.
fn backoff(tried: u32) -> Duration {
    let [chance] = random::bytes::<1>().unwrap_or_default();
    let whole = BACKOFF * 2_u32.saturating_pow(tried - 1);
    whole / 2 + whole / 2 * u32::from(chance) / 256
}
