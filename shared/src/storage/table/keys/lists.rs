//! Names of lists and feeds.

use crate::domain::event::QuarantineReason;
use crate::domain::ids::{NumberId, OutboundId, ProviderMessageId, TenantId, WabaId};

/// Partitions of the due list: a single one would be a hot key at a few hundred sends per second.
pub(in crate::storage) const DUE_SHARDS: u64 = 4;

/// Feed of the messages that a tenant sent, and partition of the activity in its inbox.
pub(in crate::storage) fn inbox(tenant: TenantId) -> String {
    format!("INBOX#{tenant}")
}

/// List of the one message that the provider accepted under this id. It finds a message that we sent by its wamid.
pub(in crate::storage) fn accepted(number: &NumberId, wamid: &ProviderMessageId) -> String {
    format!("ACCEPTED#{number}#{}", wamid.as_str())
}

/// Returns whether a message on this list is still to be sent or checked.
pub(in crate::storage) fn awaits_work(list: &str) -> bool {
    !list.starts_with("ACCEPTED#")
}

/// List of intents that have to be checked again.
pub(in crate::storage) fn due(shard: u64) -> String {
    format!("DUE#{}", shard % DUE_SHARDS)
}

/// Bulk lane of a number.
pub(in crate::storage) fn line(number: &NumberId) -> String {
    format!("LINE#{number}")
}

/// List of tokens, ordered by the time of the next check.
pub(in crate::storage) const TOKENS: &str = "TOKENS";

/// List of numbers whose bulk lane is not empty.
pub(in crate::storage) const LINES: &str = "LINES";

/// List of the running broadcasts of a number.
pub(in crate::storage) fn running(number: &NumberId) -> String {
    format!("RUNNING#{number}")
}

/// Feed of a tenant's broadcasts.
pub(in crate::storage) fn broadcasts(tenant: TenantId) -> String {
    format!("BROADCASTS#{tenant}")
}

/// Shard of an intent; any stable distribution will do.
pub(in crate::storage) fn due_shard(id: OutboundId) -> u64 {
    id.to_string().bytes().map(u64::from).sum()
}

/// List of quarantined items.
pub(in crate::storage) fn kept_list(reason: QuarantineReason) -> String {
    format!("QUARANTINE#{}", reason.as_str())
}

/// Feed of the items quarantined for a number.
pub(in crate::storage) fn kept_feed(number: &NumberId) -> String {
    format!("QUARANTINE#{number}")
}

/// Feed of the items quarantined for an account, without a number that is connected here.
pub(in crate::storage) fn quarantine_of_account(account: &WabaId) -> String {
    format!("QUARANTINE#WABA#{account}")
}

/// List of erasures in progress, ordered by the time each is due.
pub(in crate::storage) const ERASURES: &str = "ERASURES";

/// Feed of a tenant's erasures.
pub(in crate::storage) fn erasures(tenant: TenantId) -> String {
    format!("ERASURES#{tenant}")
}

/// Feed of a tenant's audit entries; without a tenant, of the operators'.
pub(in crate::storage) fn audits(tenant: Option<TenantId>) -> String {
    of_tenant_or_operator("AUDITS", tenant)
}

/// List of a tenant's API keys; without a tenant, of the operators'.
pub(in crate::storage) fn keys_of(tenant: Option<TenantId>) -> String {
    of_tenant_or_operator("KEYS", tenant)
}

fn of_tenant_or_operator(what: &str, tenant: Option<TenantId>) -> String {
    tenant.map_or_else(|| format!("{what}#operator"), |tenant| format!("{what}#{tenant}"))
}

/// List of tenants.
pub(in crate::storage) const TENANTS: &str = "TENANTS";

/// Feed of a tenant's offboardings.
pub(in crate::storage) fn offboardings(tenant: TenantId) -> String {
    format!("OFFBOARDINGS#{tenant}")
}

/// List of offboardings in progress, ordered by the time each is due.
pub(in crate::storage) const OFFBOARDINGS: &str = "OFFBOARDINGS";
/// Sort key of the mark of an account that left.
pub(in crate::storage) const GONE: &str = "GONE";

/// Feed of a tenant's onboardings.
pub(in crate::storage) fn onboardings(tenant: TenantId) -> String {
    format!("ONBOARDINGS#{tenant}")
}

/// List of a tenant's numbers.
pub(in crate::storage) fn numbers(tenant: TenantId) -> String {
    format!("NUMBERS#{tenant}")
}

/// List of a tenant's alerts; without a tenant, of those that concern no tenant yet.
pub(in crate::storage) fn alerts(tenant: Option<TenantId>) -> String {
    of_tenant_or_operator("ALERTS", tenant)
}

/// List of a tenant's merged contacts.
pub(in crate::storage) fn merges(tenant: TenantId) -> String {
    format!("MERGES#{tenant}")
}
