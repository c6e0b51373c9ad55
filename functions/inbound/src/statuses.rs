//! Statuses of messages that we sent.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::accounts::number::Number;
use shared::domain::event::{PaymentUpdate, ProviderError, QuarantineReason, StatusUpdate};
use shared::domain::ids::ProviderMessageId;
use shared::domain::sending::outbound::SentMessage;
use shared::domain::sending::policy::Consequence;
use shared::keyring::{Keyring, SystemSecretName};
use shared::provider::meta::callback_data::{CallbackData, Opened};
use shared::provider::meta::error;
use shared::storage::Applied;

use crate::Deps;
use crate::effects::{Context, usage_of};
use crate::outcome::{Disposition, NotStored};

pub(crate) async fn apply_status(
    Context { deps, effects }: Context<'_>,
    number: &Number,
    update: &StatusUpdate,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let found = target(deps, number, &update.wamid, update.unverified_callback_data.as_deref()).await?;
    let Target::Ours { message: data, attempt } = found else {
        deps.metrics.count("status_foreign", found.reason(), 1);
        return Ok(());
    };
    if effects.counted_before {
        // A replayed status counts only if it is not stored yet, so it is counted before it is stored.
        let known = deps.table.intent_get(&data.conversation, data.id).await?;
        if known.is_some_and(|(_, facts)| facts.times.at(update.status).is_none()) {
            deps.table.usage_put(vec![usage_of(&number.id, data.id, update)], received_at).await?;
        }
    }
    let applied = deps.table.status_put(&data.conversation, data.id, attempt, update).await?;
    let counts = applied != Applied::NoMessage;
    if let (true, Some(until)) = (counts, update.entry_point_until) {
        deps.table.conversation_put_entry_point(number.tenant, &data.conversation, until).await?;
    }
    match applied {
        Applied::New { settled_doubt, duplicate_send, false_refusal, template } => {
            deps.metrics.count("status_applied", update.status.as_str(), 1);
            deps.metrics.count("unknown_resolved", "status", u64::from(settled_doubt));
            if duplicate_send {
                tracing::error!(
                    event = "inbound.duplicate_confirmed",
                    message_id = %data.id,
                    attempt
                );
                deps.metrics.count("duplicate_confirmed", "status", 1);
            }
            let contact = data.conversation.contact();
            if false_refusal {
                let why = ProviderError::ours("distrusted", "a status arrived for an attempt that Meta had refused");
                let distrust = Consequence::Distrust;
                deps.table.consequence_put(number, contact, None, &why, distrust, received_at).await?;
            }
            // A late refusal has the same consequences for future messages as an immediate one.
            if let Some(error) = &update.error
                && let Some(consequence) = error::consequence(error.code)
            {
                deps.table.consequence_put(number, contact, template.as_ref(), error, consequence, received_at).await?;
            }
        }
        Applied::Repeated => deps.metrics.count("status_repeated", update.status.as_str(), 1),
        Applied::NoMessage => deps.metrics.count("status_orphan", update.status.as_str(), 1),
    }
    if counts && !effects.counted_before {
        // Counted for a repetition too, because the first processing may have stopped before counting.
        effects.add_usage(&number.id, data.id, update, received_at);
    }
    Ok(())
}

/// Records the state of a payment with the message that asked for it. A payment of a message that another system sent
/// is quarantined.
pub(crate) async fn record_payment(
    deps: &Deps,
    number: &Number,
    update: &PaymentUpdate,
) -> Result<Disposition, NotStored> {
    let found = target(deps, number, &update.wamid, update.unverified_callback_data.as_deref()).await?;
    let Target::Ours { message, .. } = found else {
        return Ok(Disposition::Quarantine(QuarantineReason::Unsupported, "payment".to_owned()));
    };
    deps.table.payment_put(&message, &update.payment, update.at).await?;
    deps.metrics.count("payment", "recorded", 1);
    Ok(Disposition::Stored)
}

/// The message that a status is about.
pub(crate) enum Target {
    /// A message of ours. The attempt to send it is known if the status has our callback data.
    Ours { message: SentMessage, attempt: Option<u32> },
    /// The status has no callback data of ours, and its wamid is not recorded here.
    UnknownWamid,
    /// The callback data is forged, of another tenant or number, or made with a key that is no longer accepted.
    RefusedData,
}

impl Target {
    /// Returns the label of the metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Ours { .. } => "ours",
            Self::UnknownWamid => "unknown_wamid",
            Self::RefusedData => "not_ours",
        }
    }
}

/// Finds the message that a status is about: by our callback data, else by the provider's id that we recorded. Half a
/// read unit for the latter.
pub(crate) async fn target(
    deps: &Deps,
    number: &Number,
    wamid: &ProviderMessageId,
    unverified: Option<&str>,
) -> Result<Target, NotStored> {
    let mut opened = Opened::NotOurs;
    if let Some(unverified) = unverified {
        opened = CallbackData::open(unverified, &*callback_mac(deps).await?, number.tenant);
        if opened == Opened::Newer {
            // The key was replaced moments ago.
            deps.callback_mac.forget(&());
            opened = CallbackData::open(unverified, &*callback_mac(deps).await?, number.tenant);
        }
    }
    Ok(match opened {
        Opened::Ours(data) if *data.conversation.number() == number.id => {
            let message = SentMessage { conversation: data.conversation, id: data.message };
            Target::Ours { message, attempt: Some(data.attempt) }
        }
        Opened::NotOurs => match deps.table.message_find_accepted(&number.id, wamid).await? {
            Some(message) => Target::Ours { message, attempt: None },
            None => Target::UnknownWamid,
        },
        Opened::Ours(_) | Opened::Refused | Opened::Newer => Target::RefusedData,
    })
}

pub(crate) async fn callback_mac(deps: &Deps) -> Result<Arc<Keyring>, NotStored> {
    const NAME: SystemSecretName = SystemSecretName::CallbackMac;
    let stored = async { Ok::<_, NotStored>(deps.table.system_secret_get(NAME).await?) };
    let known = deps.vault.remembered(&deps.callback_mac, NAME, stored).await?;
    known.ok_or(NotStored::NoCallbackMac)
}
