//! AWS without its SDK: the official signer, one pooled HTTP client, the calls to KMS and S3, and the webhook
//! function's calls to DynamoDB and SQS. The SDK crates of KMS and S3 took 54 s of CPU of a cold build for seven
//! operations (docs/performance.md). The webhook function answers 1.5 times as many webhooks per CPU-second as through
//! the SDK (docs/decisions/0086-webhook-function-without-the-sdk.md).

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningInstructions,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::aws::OPERATION_TIMEOUT;
use crate::clock::Clock;
use crate::random;

/// Time limit of one try: three tries and the waits between them fit into [`OPERATION_TIMEOUT`].
const TRY_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Longest wait before the second try; it doubles before each further try.
const BACKOFF: Duration = Duration::from_millis(100);

/// Size of a request, in bytes, from which on one try may take [`OPERATION_TIMEOUT`]. An answer of unknown size may
/// too.
const LARGE: usize = 4 * 1024 * 1024;
/// Characters that are percent-encoded in a query that S3 signs. A path keeps its slashes too.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

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
    try_timeout: Duration,
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
        let body = body.into();
        self.surely(&Unsigned { method: "POST", service, url, headers, body, try_timeout: TRY_TIMEOUT }).await
    }

    /// Stores an object.
    ///
    /// # Errors
    /// As [`Direct::call`].
    pub async fn put_object(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), DirectError> {
        let try_timeout = if body.len() < LARGE { TRY_TIMEOUT } else { OPERATION_TIMEOUT };
        let url = self.object(bucket, key);
        let headers = Vec::new();
        self.surely(&Unsigned { method: "PUT", service: Service::S3, url, headers, body, try_timeout }).await?;
        Ok(())
    }

    /// Reads an object. A missing object is refused with the code `NoSuchKey`.
    ///
    /// # Errors
    /// As [`Direct::call`].
    pub async fn get_object(&self, bucket: &str, key: &str) -> Result<Bytes, DirectError> {
        self.bodiless("GET", self.object(bucket, key)).await
    }

    /// Deletes an object. Succeeds if the object does not exist.
    ///
    /// # Errors
    /// As [`Direct::call`].
    pub async fn delete_object(&self, bucket: &str, key: &str) -> Result<(), DirectError> {
        self.bodiless("DELETE", self.object(bucket, key)).await?;
        Ok(())
    }

    /// Returns up to `limit` keys that begin with `prefix`, in key order, starting after `after`. S3 percent-encodes
    /// the keys in its answer, so that no XML reader is needed.
    ///
    /// # Errors
    /// As [`Direct::call`].
    pub async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: i32,
    ) -> Result<Vec<String>, DirectError> {
        let encoded = |value| utf8_percent_encode(value, QUERY);
        let after = after.map(|after| format!("&start-after={}", encoded(after))).unwrap_or_default();
        let query = format!("?encoding-type=url&list-type=2&max-keys={limit}&prefix={}{after}", encoded(prefix));
        let answer = self.bodiless("GET", self.object(bucket, "") + &query).await?;
        let text = std::str::from_utf8(&answer).map_err(|_| DirectError::Refused("list".to_owned()))?;
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split('<').next());
        let decoded = keys.map(|key| percent_encoding::percent_decode_str(key).decode_utf8().map(Into::into));
        decoded.collect::<Result<_, _>>().map_err(|_| DirectError::Refused("list".to_owned()))
    }

    /// Returns a link with which anybody can read an object for `valid_for`. S3 answers it with the type `mime`, as a
    /// file to be saved. Makes no call.
    ///
    /// # Errors
    /// [`DirectError::Refused`] when it cannot be signed.
    pub fn link(&self, bucket: &str, key: &str, mime: &str, valid_for: Duration) -> Result<String, DirectError> {
        let mime = utf8_percent_encode(mime, QUERY);
        let query = format!("?response-content-disposition=attachment&response-content-type={mime}&x-id=GetObject");
        let url = self.object(bucket, key) + &query;
        let refused = |what: &dyn std::fmt::Display| DirectError::Refused(what.to_string());
        let signable = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::UnsignedPayload);
        let signed = self.sign(Service::S3, signable.map_err(|error| refused(&error))?, Some(valid_for))?;
        let mut request = Request::builder().uri(&url).body(()).map_err(|error| refused(&error))?;
        signed.apply_to_request_http1x(&mut request);
        Ok(request.uri().to_string())
    }

    async fn bodiless(&self, method: &'static str, url: String) -> Result<Bytes, DirectError> {
        let (headers, body) = (Vec::new(), Bytes::new());
        let try_timeout = OPERATION_TIMEOUT;
        self.surely(&Unsigned { method, service: Service::S3, url, headers, body, try_timeout }).await
    }

    /// The URL of an object: by path where an endpoint is set, as emulators require.
    fn object(&self, bucket: &str, key: &str) -> String {
        let key = utf8_percent_encode(key, PATH);
        match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}/{key}"),
            None => format!("{}/{key}", self.host(Service::S3).replacen("https://", &format!("https://{bucket}."), 1)),
        }
    }

    fn host(&self, service: Service) -> String {
        let partition = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let own = || format!("https://{}.{}.{partition}", service.name(), self.region);
        self.endpoint.clone().unwrap_or_else(own)
    }

    /// Tries until another try would not change the answer.
    async fn surely(&self, unsigned: &Unsigned<'_>) -> Result<Bytes, DirectError> {
        let tries = async {
            let mut tried = 1;
            loop {
                let outcome = tokio::time::timeout(unsigned.try_timeout, self.once(unsigned)).await;
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
        let Unsigned { method, service, url, headers, body, try_timeout: _ } = unsigned;
        let refused = |what: &dyn std::fmt::Display| DirectError::Refused(what.to_string());
        let mut request = Request::builder().method(*method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = request.header(header::CONTENT_LENGTH, body.len());
        let mut request = request.body(SdkBody::from(body.clone())).map_err(|error| refused(&error))?;
        // The trace header changes on its way, so it is not signed.
        let signed_headers = headers.iter().filter(|(name, _)| *name != "x-amzn-trace-id").copied();
        let signable = SignableRequest::new(method, url, signed_headers, SignableBody::Bytes(body));
        let instructions = self.sign(*service, signable.map_err(|error| refused(&error))?, None)?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    /// Signs by headers, or as a link that is valid for `link_for`.
    fn sign(
        &self,
        service: Service,
        signable: SignableRequest<'_>,
        link_for: Option<Duration>,
    ) -> Result<SigningInstructions, DirectError> {
        let refused = |what: &dyn std::fmt::Display| DirectError::Refused(what.to_string());
        let mut settings = SigningSettings::default();
        if service == Service::S3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if link_for.is_some() {
            settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = link_for;
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
        let signed = sign(signable, &parameters).map_err(|error| refused(&error))?;
        Ok(signed.into_parts().0)
    }
}

/// The error code of an answer: JSON, or XML from S3.
fn code_of(answer: &[u8]) -> Option<String> {
    if let Ok(fault) = serde_json::from_slice::<Fault>(answer) {
        return fault.kind.rsplit('#').next().filter(|code| !code.is_empty()).map(str::to_owned);
    }
    let (_, rest) = std::str::from_utf8(answer).ok()?.split_once("<Code>")?;
    rest.split('<').next().map(str::to_owned)
}

/// Between half and all of the wait, so that callers that failed together do not retry together.
fn backoff(tried: u32) -> Duration {
    let [chance] = random::bytes::<1>().unwrap_or_default();
    let whole = BACKOFF * 2_u32.saturating_pow(tried - 1);
    whole / 2 + whole / 2 * u32::from(chance) / 256
}
