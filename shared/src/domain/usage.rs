//! What was sent, and what Meta charges for.

/// Messages of one number, one day and one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// What Meta charges it as, such as `marketing`, `utility`, `service`; `None` where no price was reported.
    pub category: Option<String>,
    /// Meta's word for why it costs or not, such as `regular`, `free_customer_service`.
    pub pricing_type: Option<String>,
    /// All messages of which Meta reported anything.
    pub messages: u64,
    /// Of which each step was reported.
    pub sent: u64,
    /// Delivered, or read, which implies it.
    pub delivered: u64,
    /// Read.
    pub read: u64,
    /// Failed, and never delivered.
    pub failed: u64,
    /// That Meta charges for.
    pub billable: u64,
}
