//! The AWS clients, built once from the variables that Lambda sets.
//!
//! AWS, an emulator (`AWS_ENDPOINT_URL`) and the sandbox's embedded AWS (an HTTP client in the same process) differ
//! only in the endpoint and the HTTP client.

mod direct;

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::region::Region;

pub use direct::{Direct, DirectError, Service};

use crate::config::{self, ConfigError};

const RING: tls::Provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
/// Tries per AWS call, including the first. [`OPERATION_TIMEOUT`] limits all of them together.
const ATTEMPTS: u32 = 3;
/// Time limit for opening a connection to an AWS endpoint in the same region.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit of one AWS call including its retries: below the webhook function's timeout of 10 s. Meta asks for a
/// median of 250 ms per webhook, so this is for outages only.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

/// The common configuration of all services. Their builders have the same methods but no common trait, hence a macro.
macro_rules! config {
    ($service:ident, $aws:expr) => {{
        let mut builder = $service::Config::builder()
            .behavior_version($service::config::BehaviorVersion::latest())
            .region(Region::new($aws.region.clone()))
            .credentials_provider($aws.credentials.clone())
            .http_client($aws.http_client())
            .sleep_impl(sleep())
            .retry_config($aws.retries())
            .timeout_config(timeouts());
        builder.set_endpoint_url($aws.endpoint.clone());
        builder
    }};
}

/// Settings that all AWS clients share.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    region: String,
    credentials: Credentials,
    endpoint: Option<String>,
    /// One pool of connections for all services: a TLS handshake is the dearest part of a cold start.
    connector: SharedHttpConnector,
    attempts: u32,
}

impl AwsConfig {
    /// Reads region, credentials and an optional endpoint from the environment, as Lambda sets it. Profile files and
    /// the provider chain are left out: they cost more at a cold start than everything else in the function
    /// (`docs/performance.md`).
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let credentials = Credentials::new(
            config::required("AWS_ACCESS_KEY_ID")?,
            config::required("AWS_SECRET_ACCESS_KEY")?,
            config::optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let connector = Connector::builder().tls_provider(RING).connector_settings(settings).sleep_impl(sleep());
        Ok(Self {
            region: config::required("AWS_REGION")?,
            credentials,
            endpoint: config::optional("AWS_ENDPOINT_URL"),
            connector: SharedHttpConnector::new(connector.build()),
            attempts: ATTEMPTS,
        })
    }

    /// Creates clients whose requests `connector` answers in place of a network, for the sandbox and tests. They try
    /// each call once: within a process no network error needs a retry, and a test decides which call fails.
    #[must_use]
    pub fn embedded(connector: SharedHttpConnector) -> Self {
        Self {
            region: "us-east-1".to_owned(),
            credentials: Credentials::new("embedded", "embedded", None, None, "embedded"),
            endpoint: Some("http://aws.embedded".to_owned()),
            connector,
            attempts: 1,
        }
    }

    /// Sets the endpoint address that signed links carry, under which other processes reach the embedded AWS.
    #[must_use]
    pub fn reached_at(self, endpoint: &str) -> Self {
        Self { endpoint: Some(endpoint.to_owned()), ..self }
    }

    /// Signs with another access key, by which the embedded AWS tells the functions apart.
    #[must_use]
    pub fn signed_by(&self, key: &str) -> Self {
        let credentials = Credentials::new(key, "embedded", None, None, "embedded");
        Self { credentials, ..self.clone() }
    }

    /// Creates a DynamoDB client.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(config!(aws_sdk_dynamodb, self).build())
    }

    /// Creates an SQS client.
    #[must_use]
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::from_conf(config!(aws_sdk_sqs, self).build())
    }

    /// Creates a client without the AWS SDK: for KMS, S3 and the webhook function.
    #[must_use]
    pub fn direct(&self) -> Direct {
        Direct {
            connector: self.connector.clone(),
            identity: self.credentials.clone().into(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            attempts: self.attempts,
        }
    }

    fn http_client(&self) -> SharedHttpClient {
        let connector = self.connector.clone();
        http_client_fn(move |_, _| connector.clone())
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig::standard().with_max_attempts(self.attempts)
    }
}

fn sleep() -> SharedAsyncSleep {
    SharedAsyncSleep::new(TokioSleep::new())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build()
}
