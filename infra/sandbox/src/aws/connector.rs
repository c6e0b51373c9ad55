//! The HTTP connector of all AWS clients, answered in the same process.

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;

use super::EmbeddedAws;

pub(super) fn connector(aws: Arc<EmbeddedAws>) -> SharedHttpConnector {
    SharedHttpConnector::new(InProcess(aws))
}

#[derive(Debug, Clone)]
struct InProcess(Arc<EmbeddedAws>);

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let aws = self.0.clone();
        HttpConnectorFuture::new(async move { exchange(&aws, request).await })
    }
}

async fn exchange(aws: &EmbeddedAws, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(ConnectorError::io)?.to_bytes();
    let response = aws.answer(http::Request::from_parts(parts, body)).await.map(SdkBody::from);
    HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
}
