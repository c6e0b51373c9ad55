//! Everything that may fail and be repeated freely, before the claim.

use std::sync::Arc;

use shared::domain::event::ProviderError;
use shared::domain::ids::{PhoneNumberId, WabaId};
use shared::domain::number::Number;
use shared::domain::outbound::Intent;
use shared::provider::meta::callback_data::CallbackData;
use shared::provider::meta::message;
use shared::secret::Secret;
use shared::storage::StorageError;
use shared::vault::{Context, VaultError};

use crate::Deps;

/// A message ready for the wire, but for the attempt's number.
pub(crate) struct Prepared {
    pub(crate) number: PhoneNumberId,
    pub(crate) waba: WabaId,
    pub(crate) token: Arc<Secret>,
    callback_mac: Arc<Secret>,
}

/// Why a message is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("{0}")]
    Waiting(&'static str),
    #[error("the number is no longer connected")]
    NumberGone,
}

impl NotReady {
    /// What to say on the message when it can never be sent.
    pub(crate) fn permanent(&self) -> Option<ProviderError> {
        matches!(self, Self::NumberGone).then(|| ProviderError::ours("number_gone", &self.to_string()))
    }
}

pub(crate) async fn prepare(deps: &Deps, intent: &Intent) -> Result<Prepared, NotReady> {
    let id = intent.conversation.number();
    let number = deps.numbers.get(id, deps.table.number(id)).await?;
    let number = number.filter(|number| number.tenant == intent.tenant).ok_or(NotReady::NumberGone)?;
    Ok(Prepared {
        token: token(deps, &number).await?,
        callback_mac: callback_mac(deps).await?,
        number: number.id,
        waba: number.waba,
    })
}

impl Prepared {
    /// The request body of one attempt. JSON of plain text cannot fail, so an empty body would be a bug and is refused
    /// by Meta rather than sent wrongly.
    pub(crate) fn body(&self, intent: &Intent, attempt: u32) -> Vec<u8> {
        let data = CallbackData { conversation: intent.conversation.clone(), message: intent.id, attempt };
        message::body(intent, &data.seal(&self.callback_mac, intent.tenant)).unwrap_or_default()
    }
}

async fn token(deps: &Deps, number: &Number) -> Result<Arc<Secret>, NotReady> {
    let fetch = async {
        let Some(sealed) = deps.table.graph_token(&number.waba).await? else { return Ok(None) };
        let context = Context::GraphToken { tenant: number.tenant, waba: number.waba.clone() };
        Ok::<_, NotReady>(Some(Arc::new(deps.vault.open(&sealed, &context).await?)))
    };
    deps.tokens.get(&number.waba, fetch).await?.ok_or(NotReady::Waiting("the account has no access token"))
}

async fn callback_mac(deps: &Deps) -> Result<Arc<Secret>, NotReady> {
    let fetch = async {
        let Some(sealed) = deps.table.system_secret("callback-mac").await? else { return Ok(None) };
        Ok::<_, NotReady>(Some(Arc::new(deps.vault.open(&sealed, &Context::CallbackMac).await?)))
    };
    deps.callback_mac.get(&(), fetch).await?.ok_or(NotReady::Waiting("`operator init` was never run"))
}
