//! S3 on a folder, by `s3s`. Signatures and expiry of signed links are checked; other signatures are not.

use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

/// Access key id and secret key of everything that runs embedded.
const KEYS: &str = "embedded";
/// Functions that sign links. Each signs with its own name as access key id.
const SIGNERS: [&str; 2] = ["api", "management"];

pub(super) struct Buckets {
    open: S3Service,
    signed: S3Service,
}

pub(super) fn service(folder: &Path) -> Result<Buckets, String> {
    let bucket = folder.join(crate::stack::BUCKET);
    std::fs::create_dir_all(&bucket).map_err(|error| format!("{} cannot be made: {error}", bucket.display()))?;
    let files = || {
        s3s_fs::FileSystem::new(folder).map_err(|error| format!("{} cannot hold objects: {error:?}", folder.display()))
    };
    let mut signed = S3ServiceBuilder::new(files()?);
    let mut keys = SimpleAuth::from_single(KEYS, KEYS);
    for function in SIGNERS {
        keys.register(function.into(), KEYS.into());
    }
    signed.set_auth(keys);
    Ok(Buckets { open: S3ServiceBuilder::new(files()?).build(), signed: signed.build() })
}

pub(super) async fn answer(buckets: &Buckets, mut request: Request<Bytes>) -> Response<Bytes> {
    // Only signed links are verified. A signed request to a service without a key store would be refused.
    request.headers_mut().remove(header::AUTHORIZATION);
    let is_link = request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature="));
    let service = if is_link { &buckets.signed } else { &buckets.open };
    let answered = service.call(request.map(s3s::Body::from)).await;
    let failed = |reason: String| {
        let mut response = Response::new(Bytes::from(reason));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    };
    match answered {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            match body.collect().await {
                Ok(body) => Response::from_parts(parts, body.to_bytes()),
                Err(error) => failed(error.to_string()),
            }
        }
        Err(error) => failed(format!("{error:?}")),
    }
}
