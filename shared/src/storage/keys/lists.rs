//! The names of lists and feeds.

use crate::domain::event::KeptReason;
use crate::domain::ids::{OutboundId, PhoneNumberId, TenantId};

/// Partitions of the due list: one would be a hot key at a few hundred sends a second.
pub(in crate::storage) const DUE_SHARDS: u64 = 4;

/// The feed of a tenant's messages, from which its conversations are listed.
pub(in crate::storage) fn inbox(tenant: TenantId) -> String {
    format!("INBOX#{tenant}")
}

/// The list of intents that somebody must look at again.
pub(in crate::storage) fn due(shard: u64) -> String {
    format!("DUE#{}", shard % DUE_SHARDS)
}

/// The bulk lane of a number.
pub(in crate::storage) fn line(number: &PhoneNumberId) -> String {
    format!("LINE#{number}")
}

/// The list of tokens that are visited, by when each is due.
pub(in crate::storage) const TOKENS: &str = "TOKENS";

/// The list of numbers whose bulk lane is not empty.
pub(in crate::storage) const LINES: &str = "LINES";

/// The list of broadcasts that a number has under way.
pub(in crate::storage) fn running(number: &PhoneNumberId) -> String {
    format!("RUNNING#{number}")
}

/// The list of a tenant's broadcasts.
pub(in crate::storage) fn broadcasts(tenant: TenantId) -> String {
    format!("BROADCASTS#{tenant}")
}

/// The shard of one intent: any stable spread will do.
pub(in crate::storage) fn due_shard(id: OutboundId) -> u64 {
    id.to_string().bytes().map(u64::from).sum()
}

/// The list of kept items.
pub(in crate::storage) fn kept_list(reason: KeptReason) -> String {
    format!("KEPT#{}", reason.as_str())
}

/// The feed of items kept for a number.
pub(in crate::storage) fn kept_feed(number: &PhoneNumberId) -> String {
    format!("KEPT#{number}")
}

/// The list of erasures that go on, by when each is due.
pub(in crate::storage) const ERASURES: &str = "ERASURES";

/// The feed of a tenant's erasures.
pub(in crate::storage) fn erasures(tenant: TenantId) -> String {
    format!("ERASURES#{tenant}")
}

/// The feed of who changed what of a tenant's; without one what operators changed.
pub(in crate::storage) fn audits(tenant: Option<TenantId>) -> String {
    of_tenant_or_operator("AUDITS", tenant)
}

/// The list of a tenant's keys; without one operators' keys.
pub(in crate::storage) fn keys_of(tenant: Option<TenantId>) -> String {
    of_tenant_or_operator("KEYS", tenant)
}

fn of_tenant_or_operator(what: &str, tenant: Option<TenantId>) -> String {
    tenant.map_or_else(|| format!("{what}#operator"), |tenant| format!("{what}#{tenant}"))
}

/// The list of tenants.
pub(in crate::storage) const TENANTS: &str = "TENANTS";

/// The feed of a tenant's offboardings.
pub(in crate::storage) fn offboardings(tenant: TenantId) -> String {
    format!("OFFBOARDINGS#{tenant}")
}

/// The list of offboardings that are under way, by when each is due.
pub(in crate::storage) const OFFBOARDINGS: &str = "OFFBOARDINGS";
/// What stands in place of an account that left.
pub(in crate::storage) const GONE: &str = "GONE";

/// The feed of a tenant's onboardings.
pub(in crate::storage) fn onboardings(tenant: TenantId) -> String {
    format!("ONBOARDINGS#{tenant}")
}

/// The list of a tenant's numbers.
pub(in crate::storage) fn numbers(tenant: TenantId) -> String {
    format!("NUMBERS#{tenant}")
}

/// The list of a tenant's alerts; of those that concern no tenant yet without one.
pub(in crate::storage) fn alerts(tenant: Option<TenantId>) -> String {
    of_tenant_or_operator("ALERTS", tenant)
}

/// The list of a tenant's merged contacts.
pub(in crate::storage) fn merges(tenant: TenantId) -> String {
    format!("MERGES#{tenant}")
}
