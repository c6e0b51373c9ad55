//! The caller's numbers, from memory.

use shared::domain::ids::{PhoneNumberId, TenantId};
use shared::domain::number::Number;
use shared::domain::policy::Standing;
use shared::http::Problem;
use shared::storage::StorageError;

use crate::Deps;

impl Deps {
    /// The tenant's number as it was within the last minutes: good for what is asked often.
    pub(crate) async fn cached_number(&self, tenant: TenantId, id: &PhoneNumberId) -> Result<Option<Number>, Problem> {
        let number = self.numbers.get(id, self.table.number(id)).await?;
        Ok(number.filter(|number| number.tenant == tenant))
    }

    /// What stops sending from a number, as it was within the last seconds.
    pub(crate) async fn standing(&self, number: &Number) -> Result<Standing, StorageError> {
        let fetch = async { self.table.standing(number).await.map(Some) };
        Ok(self.standings.get(&number.id, fetch).await?.unwrap_or_default())
    }
}
