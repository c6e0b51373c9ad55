//! What is the caller's. What is another tenant's is answered like what does not exist.

use super::Access;
use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, PhoneNumberId, TenantId, WabaId};
use crate::domain::number::Number;
use crate::http::Problem;
use crate::storage::AccountRecord;

impl Access {
    /// The tenant's number as it is now.
    ///
    /// # Errors
    /// 404 if it is not the tenant's.
    pub async fn number_of(&self, tenant: TenantId, id: &PhoneNumberId) -> Result<Number, Problem> {
        let number = self.table().number(id).await?;
        number.filter(|number| number.tenant == tenant).ok_or_else(Problem::not_found)
    }

    /// The tenant's conversation.
    ///
    /// # Errors
    /// 404 if it is not the tenant's.
    pub async fn conversation_of(&self, tenant: TenantId, id: &ConversationId) -> Result<Conversation, Problem> {
        self.table().conversation(tenant, id).await?.ok_or_else(Problem::not_found)
    }

    /// The tenant's account.
    ///
    /// # Errors
    /// 404 if it is not the tenant's.
    pub async fn account_of(&self, tenant: TenantId, id: &WabaId) -> Result<AccountRecord, Problem> {
        let account = self.table().account(id).await?;
        account.filter(|account| account.tenant == tenant).ok_or_else(Problem::not_found)
    }
}
