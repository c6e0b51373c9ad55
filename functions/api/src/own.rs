//! The caller's numbers, from memory.

use shared::domain::ids::{PhoneNumberId, TenantId};
use shared::domain::number::Number;
use shared::http::Problem;

use crate::Deps;

impl Deps {
    /// The tenant's number as it was within the last minutes: good for what is asked often.
    pub(crate) async fn cached_number(&self, tenant: TenantId, id: &PhoneNumberId) -> Result<Option<Number>, Problem> {
        let number = self.numbers.get(id, self.table.number(id)).await?;
        Ok(number.filter(|number| number.tenant == tenant))
    }
}
