//! Settings for signups through a Meta app, stored in the app's item beside its sealed secrets.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::domain::accounts::app::{CreditLine, SignupSettings};
use crate::domain::ids::{MetaAppId, TenantId};
use crate::secret::Sealed;
use crate::storage::accounts::registry::blob;
use crate::storage::table::item::{Item, text};
use crate::storage::{StorageError, Table, table::keys};

impl Table {
    /// Stores the signup settings of a Meta app, replacing earlier ones. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn signup_settings_put(&self, id: &MetaAppId, settings: &SignupSettings) -> Result<(), StorageError> {
        let SignupSettings { client_id, config_id, feature_type, override_url, origins, hosted_for, credit } = settings;
        let (line, currency, user) = match credit {
            Some(CreditLine { id, currency, system_user }) => (Some(id), Some(currency), Some(system_user)),
            None => (None, None, None),
        };
        let hosted_for = hosted_for.map(|tenant| tenant.to_string());
        let optional = [
            ("feature_type", feature_type.as_ref()),
            ("override_url", override_url.as_ref()),
            ("hosted_for", hosted_for.as_ref()),
            ("credit_line", line),
            ("credit_currency", currency),
            ("credit_user", user),
        ];
        let mut update =
            self.update(keys::meta_app(id)).set("client_id", text(client_id)).set("config_id", text(config_id));
        for (name, value) in optional {
            update = update.put(name, value.map(text));
        }
        let origins = Some(origins).filter(|origins| !origins.is_empty());
        update.put("origins", origins.cloned().map(AttributeValue::Ss)).run().await?;
        Ok(())
    }

    /// Stores the sealed token of the app's own system user. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn system_token_put(&self, id: &MetaAppId, sealed: &Sealed) -> Result<(), StorageError> {
        self.update(keys::meta_app(id)).set("system_token", blob(sealed)).run().await?;
        Ok(())
    }

    /// Returns the sealed token of the app's own system user.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn system_token_get(&self, id: &MetaAppId) -> Result<Option<Sealed>, StorageError> {
        let item = self.read(&keys::meta_app(id)).await?.filter(|item| item.0.contains_key("system_token"));
        item.map(|item| item.bytes("system_token").map(Sealed::from_bytes)).transpose()
    }

    /// Returns the signup settings of a Meta app; `None` if it has none.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn signup_settings_get(&self, id: &MetaAppId) -> Result<Option<SignupSettings>, StorageError> {
        self.read(&keys::meta_app(id)).await?.map_or(Ok(None), |item| settings(&item))
    }

    /// Returns a Meta app's sealed secrets and signup settings; `None` if the settings are missing. Settings without
    /// secrets are a damaged item.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn signup_app_get(&self, id: &MetaAppId) -> Result<Option<(Sealed, SignupSettings)>, StorageError> {
        let Some(item) = self.read(&keys::meta_app(id)).await? else { return Ok(None) };
        let Some(settings) = settings(&item)? else { return Ok(None) };
        Ok(Some((Sealed::from_bytes(item.bytes("sealed")?), settings)))
    }
}

fn settings(item: &Item) -> Result<Option<SignupSettings>, StorageError> {
    let Some((client_id, config_id)) = item.owned("client_id").zip(item.owned("config_id")) else { return Ok(None) };
    let line = item.owned("credit_line").zip(item.owned("credit_currency")).zip(item.owned("credit_user"));
    Ok(Some(SignupSettings {
        client_id,
        config_id,
        feature_type: item.owned("feature_type"),
        override_url: item.owned("override_url"),
        origins: item.set("origins"),
        hosted_for: item.parsed_optional("hosted_for", TenantId::parse)?,
        credit: line.map(|((id, currency), system_user)| CreditLine { id, currency, system_user }),
    }))
}
