//! Cached reads of the caller's numbers.

use shared::domain::accounts::number::Number;
use shared::domain::ids::{NumberId, TenantId};
use shared::domain::sending::policy::NumberStatus;
use shared::http::Problem;
use shared::storage::StorageError;

use crate::Deps;

impl Deps {
    /// Returns the tenant's number, up to `CACHE_FOR` old. For frequent requests.
    pub(crate) async fn cached_number(&self, tenant: TenantId, id: &NumberId) -> Result<Option<Number>, Problem> {
        let number = self.numbers.get(id, self.table.number_get(id)).await?;
        Ok(number.filter(|number| number.tenant == tenant))
    }

    /// Returns the states that may stop the number from sending, up to `STANDING_CACHE_FOR` old.
    pub(crate) async fn standing(&self, number: &Number) -> Result<NumberStatus, StorageError> {
        let fetch = async { self.table.number_status_get(number).await.map(Some) };
        Ok(self.standings.get(&number.id, fetch).await?.unwrap_or_default())
    }
}
