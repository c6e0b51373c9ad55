//! S3 on a folder: the five operations that Switchboard uses, and signed links, whose signature and end are checked.
//! Other signatures are not checked. A library for this (`s3s`) took 27 s of CPU of a cold build.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use shared::clock::{Clock, Timestamp};

/// Both keys of what runs embedded.
const KEYS: &str = "embedded";
/// Functions that sign links, beside what runs embedded.
const SIGNERS: [&str; 2] = ["api", "management"];
/// Keys of one list, at most and unless fewer are asked for.
const LIST_MAX: usize = 1_000;

/// The folder that holds one folder per bucket.
pub(super) struct Buckets(PathBuf);

/// A refusal, as S3 words it.
struct Refused(StatusCode, &'static str, String);

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
                Self(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.".to_owned())
            }
            _ => Self(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", error.to_string()),
        }
    }
}

impl Buckets {
    /// Keeps the buckets below `folder`.
    pub(super) fn below(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Creates a bucket unless it exists.
    pub(super) fn create(&self, name: &str) -> Result<(), String> {
        let bucket = self.0.join(name);
        std::fs::create_dir_all(&bucket).map_err(|error| format!("{} cannot be made: {error}", bucket.display()))
    }
}

pub(super) fn answer(buckets: &Buckets, request: &Request<Bytes>) -> Response<Bytes> {
    answered(buckets, request).unwrap_or_else(|Refused(status, code, message)| {
        let text = format!("<Error><Code>{code}</Code><Message>{}</Message></Error>", escaped(&message));
        reply(status, "application/xml", Bytes::from(text))
    })
}

fn answered(buckets: &Buckets, request: &Request<Bytes>) -> Result<Response<Bytes>, Refused> {
    let query = Query::of(request);
    if query.get("X-Amz-Signature").is_some() {
        query.check_link(request)?;
    }
    let path = decoded(request.uri().path());
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let known = |part: &str| !part.is_empty() && part != "." && part != "..";
    let folder = buckets.0.join(bucket);
    if !known(bucket) || bucket.contains('\\') || !folder.is_dir() {
        return Err(Refused(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist".to_owned()));
    }
    if key.is_empty() && request.method() == Method::GET && query.get("list-type").as_deref() == Some("2") {
        return list(&folder, &query);
    }
    if !key.split('/').all(known) {
        return Err(Refused(StatusCode::BAD_REQUEST, "InvalidArgument", "this key is not possible here".to_owned()));
    }
    let file = folder.join(key);
    match request.method().as_str() {
        "PUT" => put(&buckets.0, &file, request.body()),
        "GET" => get(&file, &query),
        "DELETE" => match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(reply(StatusCode::NO_CONTENT, "application/xml", Bytes::new())),
        },
        other => {
            let message = format!("embedded AWS does not do S3 {other}");
            Err(Refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message))
        }
    }
}

/// Written beside the buckets and moved into its place, so that no reader sees a part of it.
fn put(beside: &Path, file: &Path, bytes: &Bytes) -> Result<Response<Bytes>, Refused> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut written = tempfile::NamedTempFile::new_in(beside)?;
    written.write_all(bytes)?;
    written.persist(file).map_err(|error| error.error)?;
    Ok(reply(StatusCode::OK, "application/xml", Bytes::new()))
}

fn get(file: &Path, query: &Query) -> Result<Response<Bytes>, Refused> {
    let bytes = std::fs::read(file)?;
    let kind = query.get("response-content-type");
    let mut response = reply(StatusCode::OK, kind.as_deref().unwrap_or("binary/octet-stream"), Bytes::from(bytes));
    let disposition = query.get("response-content-disposition").and_then(|value| HeaderValue::from_str(&value).ok());
    if let Some(disposition) = disposition {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

fn list(bucket: &Path, query: &Query) -> Result<Response<Bytes>, Refused> {
    let (prefix, after) = (query.get("prefix").unwrap_or_default(), query.get("start-after").unwrap_or_default());
    let limit = query.get("max-keys").and_then(|limit| limit.parse().ok()).unwrap_or(LIST_MAX).min(LIST_MAX);
    let by_url = query.get("encoding-type").as_deref() == Some("url");
    // Only the folder of the prefix is walked.
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut keys = Vec::new();
    if folder.split('/').all(|part| part != ".." && part != ".") {
        walk(&bucket.join(folder), folder, &mut keys)?;
    }
    keys.retain(|key| key.starts_with(&prefix) && *key > after);
    keys.sort_unstable();
    let truncated = keys.len() > limit;
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult>");
    for key in keys.iter().take(limit) {
        let key = if by_url { utf8_percent_encode(key, NON_ALPHANUMERIC).to_string() } else { escaped(key) };
        text.push_str(&format!("<Contents><Key>{key}</Key></Contents>"));
    }
    text.push_str(&format!("<IsTruncated>{truncated}</IsTruncated></ListBucketResult>"));
    Ok(reply(StatusCode::OK, "application/xml", Bytes::from(text)))
}

fn walk(folder: &Path, prefix: &str, keys: &mut Vec<String>) -> Result<(), Refused> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let key = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        match entry.path().is_dir() {
            true => walk(&entry.path(), &key, keys)?,
            false => keys.push(key),
        }
    }
    Ok(())
}

/// The parameters of a request, as they were sent and decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let parts = request.uri().query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
        Self(parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(a, b)| (a.into(), b.into())).collect())
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(sent, _)| sent == name).map(|(_, value)| decoded(value))
    }

    /// Signs the same link again, and compares.
    fn check_link(&self, request: &Request<Bytes>) -> Result<(), Refused> {
        let denied = |why: &str| Refused(StatusCode::FORBIDDEN, "AccessDenied", why.to_owned());
        let needed = |name: &str| self.get(name).ok_or_else(|| denied("the link is not complete"));
        let credential = needed("X-Amz-Credential")?;
        let key = credential.split('/').next().unwrap_or_default();
        if key != KEYS && !SIGNERS.contains(&key) {
            return Err(denied("nobody here has this access key"));
        }
        let begin: SystemTime =
            begin(&needed("X-Amz-Date")?).ok_or_else(|| denied("the link has no beginning"))?.into();
        let seconds = needed("X-Amz-Expires")?.parse().map_err(|_| denied("the link has no end"))?;
        let until = Duration::from_secs(seconds);
        if begin + until < SystemTime::from(Clock::system().now()) {
            return Err(denied("Request has expired"));
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or(request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or_default();
        let rest = self.0.iter().filter(|(name, _)| !name.starts_with("X-Amz-"));
        let rest = rest.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let url = format!("http://{host}{}?{rest}", request.uri().path());
        let signature =
            signature(request.method(), &url, key, begin, until).ok_or_else(|| denied("cannot be signed"))?;
        if signature == needed("X-Amz-Signature")? { Ok(()) } else { Err(denied("the signature does not match")) }
    }
}

fn signature(method: &Method, url: &str, key: &str, begin: SystemTime, until: Duration) -> Option<String> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(until);
    let identity = Credentials::new(key, KEYS, None, None, KEYS).into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(super::REGION)
        .name("s3")
        .time(begin)
        .settings(settings);
    let signable =
        SignableRequest::new(method.as_str(), url, std::iter::empty(), SignableBody::UnsignedPayload).ok()?;
    let (_, signature) = sign(signable, &parameters.build().ok()?.into()).ok()?.into_parts();
    Some(signature)
}

/// The beginning of a link, such as `20261129T070000Z`.
fn begin(text: &str) -> Option<Timestamp> {
    let part = |from: usize, to: usize| text.get(from..to);
    let [year, month, day] = [part(0, 4)?, part(4, 6)?, part(6, 8)?];
    let [hour, minute, second] = [part(9, 11)?, part(11, 13)?, part(13, 15)?];
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn reply(status: StatusCode, kind: &str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(HeaderName::from_static("x-amz-request-id"), HeaderValue::from_static("embedded"));
    response
}
