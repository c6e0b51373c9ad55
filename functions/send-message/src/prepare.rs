//! Preparation before the claim, which may fail and be repeated freely: token, callback data key, files.

use std::sync::Arc;

use shared::domain::accounts::number::Number;
use shared::domain::accounts::token::AccessToken;
use shared::domain::outgoing::Outgoing;
use shared::domain::sending::outbound::Intent;
use shared::keyring::{Keyring, SystemSecretName};
use shared::provider::meta::callback_data::CallbackData;
use shared::provider::meta::message;
use shared::vault::Context;

use crate::not_ready::Missing;
use crate::{Deps, files};

/// A message ready to be sent, except for the attempt number.
pub(crate) struct Prepared {
    pub(crate) token: Arc<AccessToken>,
    callback_mac: Arc<Keyring>,
    /// Content, with Meta's file ids in place of ours.
    says: Outgoing,
}

pub(crate) async fn prepare(deps: &Deps, number: &Number, says: &Outgoing) -> Result<Prepared, Missing> {
    let token = token(deps, number).await?;
    let callback_mac = callback_mac(deps).await?;
    let mut says = says.clone();
    files::at_meta(deps, number, &token, &mut says).await?;
    Ok(Prepared { token, callback_mac, says })
}

impl Prepared {
    /// Builds the request body of one attempt.
    pub(crate) fn body(&self, intent: &Intent, attempt: u32) -> Result<Vec<u8>, serde_json::Error> {
        let data = CallbackData { conversation: intent.conversation.clone(), message: intent.id, attempt };
        message::body(intent, &self.says, &data.seal(&self.callback_mac, intent.tenant))
    }
}

pub(crate) async fn token(deps: &Deps, number: &Number) -> Result<Arc<AccessToken>, Missing> {
    let fetch = async {
        let Some(sealed) = deps.table.graph_token_get(&number.waba).await? else { return Ok(None) };
        let context = Context::GraphToken { tenant: number.tenant, waba: number.waba.clone() };
        Ok::<_, Missing>(Some(Arc::new(deps.vault.open_token(&sealed, &context).await?)))
    };
    deps.tokens.get(&number.waba, fetch).await?.ok_or(Missing::Waiting("the account has no access token"))
}

async fn callback_mac(deps: &Deps) -> Result<Arc<Keyring>, Missing> {
    const NAME: SystemSecretName = SystemSecretName::CallbackMac;
    let stored = async { Ok::<_, Missing>(deps.table.system_secret_get(NAME).await?) };
    let known = deps.vault.remembered(&deps.callback_mac, NAME, stored).await?;
    known.ok_or(Missing::Waiting("`operator init` was never run"))
}
