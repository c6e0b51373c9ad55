//! What is the caller's. What is another tenant's is answered like what does not exist.

use shared::domain::conversation::Conversation;
use shared::domain::ids::{ConversationId, PhoneNumberId, TenantId};
use shared::domain::number::Number;
use shared::http::Problem;

use crate::Deps;

impl Deps {
    /// The tenant's number as it is now.
    pub(crate) async fn number_of(&self, tenant: TenantId, id: &PhoneNumberId) -> Result<Number, Problem> {
        let number = self.table.number(id).await?;
        number.filter(|number| number.tenant == tenant).ok_or_else(Problem::not_found)
    }

    /// The tenant's number as it was within the last minutes: good for what is asked often.
    pub(crate) async fn cached_number(&self, tenant: TenantId, id: &PhoneNumberId) -> Result<Option<Number>, Problem> {
        let number = self.numbers.get(id, self.table.number(id)).await?;
        Ok(number.filter(|number| number.tenant == tenant))
    }

    /// The tenant's conversation.
    pub(crate) async fn conversation_of(&self, tenant: TenantId, id: &ConversationId) -> Result<Conversation, Problem> {
        self.table.conversation(tenant, id).await?.ok_or_else(Problem::not_found)
    }
}
