//! Gateway to AWS: the calls that a webhook needs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::aws::{Direct, DirectError, Service};
use shared::domain::accounts::app::MetaApp;
use shared::domain::ids::MetaAppId;
use shared::secret::Sealed;
use shared::storage::{content_key, meta_app_key};
use shared::telemetry::Metrics;
use shared::vault::{Vault, VaultError};

use crate::Config;

/// The AWS calls that this function may make.
#[derive(Debug)]
pub(crate) struct AwsGateway {
    aws: Direct,
    vault: Vault,
    config: Config,
}

/// A call failed, or its response was not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AwsGatewayError {
    #[error(transparent)]
    Aws(#[from] DirectError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("AWS returned an unexpected response")]
    Answer,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetItem<'a> {
    table_name: &'a str,
    key: Key<'a>,
    consistent_read: bool,
}

#[derive(Serialize)]
struct Key<'a> {
    pk: Text<'a>,
    sk: Text<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(rename = "S")]
    text: &'a str,
}

#[derive(Deserialize)]
struct GotItem {
    #[serde(rename = "Item")]
    item: Option<AppItem>,
}

#[derive(Deserialize)]
struct AppItem {
    sealed: Option<Blob>,
}

#[derive(Deserialize)]
struct Blob {
    #[serde(rename = "B")]
    base64: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage<'a> {
    queue_url: &'a str,
    message_body: &'a str,
    message_group_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes<'a> {
    queue_url: &'a str,
    attribute_names: [&'a str; 1],
}

impl AwsGateway {
    pub(crate) fn new(aws: Direct, config: &Config, metrics: &Metrics) -> Self {
        let vault = Vault::new(aws.clone(), config.key_id.clone()).counting(metrics);
        Self { aws, vault, config: config.clone() }
    }

    /// Opens the connection to the queue with the cheapest call.
    pub(crate) async fn touch(&self) -> Result<(), AwsGatewayError> {
        let ask = GetQueueAttributes { queue_url: &self.config.inbound_queue_url, attribute_names: ["QueueArn"] };
        self.aws.call(Service::Sqs, "AmazonSQS.GetQueueAttributes", json(&ask)?, None).await?;
        Ok(())
    }

    /// Returns a Meta app with decrypted secrets.
    pub(crate) async fn app(&self, id: &MetaAppId) -> Result<Option<MetaApp>, AwsGatewayError> {
        let (pk, sk) = meta_app_key(id);
        let key = Key { pk: Text { text: &pk }, sk: Text { text: &sk } };
        let ask = GetItem { table_name: &self.config.table, key, consistent_read: true };
        let answer = self.aws.call(Service::DynamoDb, "DynamoDB_20120810.GetItem", json(&ask)?, None).await?;
        let got: GotItem = serde_json::from_slice(&answer).map_err(|_| AwsGatewayError::Answer)?;
        let Some(sealed) = got.item.and_then(|item| item.sealed) else { return Ok(None) };
        let sealed = STANDARD.decode(sealed.base64).map_err(|_| AwsGatewayError::Answer)?;
        Ok(Some(self.vault.open_app(id, &Sealed::from_bytes(sealed)).await?))
    }

    /// Sends a job to the inbound queue. Message groups make the queue fair: a busy group does not delay the others.
    pub(crate) async fn enqueue(&self, job: &str, group: &str, trace: Option<&str>) -> Result<(), AwsGatewayError> {
        let url = &self.config.inbound_queue_url;
        let ask = SendMessage { queue_url: url, message_body: job, message_group_id: group };
        self.aws.call(Service::Sqs, "AmazonSQS.SendMessage", json(&ask)?, trace).await?;
        Ok(())
    }

    /// Stores a body that is too large for the queue and returns its key.
    pub(crate) async fn keep(&self, body: Bytes) -> Result<String, AwsGatewayError> {
        let key = content_key("large", &body);
        self.aws.put_object(&self.config.bucket, &key, body).await?;
        Ok(key)
    }
}

fn json(ask: &impl Serialize) -> Result<String, AwsGatewayError> {
    serde_json::to_string(ask).map_err(|_| AwsGatewayError::Answer)
}
