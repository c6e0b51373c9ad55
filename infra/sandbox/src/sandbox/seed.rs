//! The seeded tenant of the sandbox. Created at the first start; with a state folder it is read back at later starts.

use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::domain::accounts::app::{MetaApp, SignupSettings};
use shared::domain::accounts::number::{Number, Settings};
use shared::domain::accounts::tenant::Scope;
use shared::domain::ids::{MetaAppId, NumberId, TenantId, WabaId};
use shared::secret::Secret;
use shared::vault::random_secret;

use crate::meta::{BusinessAccount, BusinessNumber};
use crate::stack::Stack;
use crate::state_file;

/// The Meta app's name in its webhook URL.
pub(super) const APP: &str = "sandbox";
/// The Meta app's id at Meta and the id of its signup configuration. Both are invented.
pub(super) const CLIENT: &str = "900100200300101";
const CONFIG: &str = "900100200300102";
/// Meta's id of the number. Invented, like the two below.
pub(super) const NUMBER: &str = "900100200300501";
/// The number's digits, from a range that is not assigned.
pub(super) const DISPLAY: &str = "15550001111";
/// Meta's id of the number's account.
pub(super) const WABA: &str = "900100200300401";

/// Returns the seeded number's account as the simulated Meta stores it: connected to the app, with a payment method.
#[must_use]
pub fn account() -> BusinessAccount {
    let number = BusinessNumber {
        id: NUMBER.to_owned(),
        display_phone_number: DISPLAY.to_owned(),
        registered: true,
        ..BusinessNumber::default()
    };
    BusinessAccount {
        id: WABA.to_owned(),
        numbers: vec![number],
        subscribed: vec![CLIENT.to_owned()],
        funding: Some("a card".to_owned()),
        business: Some("900100200300003".to_owned()),
        ..BusinessAccount::default()
    }
}

/// The seeded tenant and its credentials, which are valid in this sandbox only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seed {
    /// Id of the tenant.
    pub tenant_id: String,
    /// An API key of the tenant with all scopes.
    pub api_key: String,
    /// An operator's key.
    pub operator_key: String,
    /// The Meta app's secret.
    pub app_secret: String,
    /// The Meta app's verify token.
    pub verify_token: String,
    /// The number's access token.
    pub access_token: String,
}

impl Seed {
    /// Returns the seed stored in `folder`, or creates a tenant, keys, Meta app and number.
    ///
    /// # Errors
    /// A message for the terminal.
    pub async fn load_or_plant(folder: Option<&Path>, stack: &Stack) -> Result<Self, String> {
        let file = folder.map(|folder| folder.join("sandbox.json"));
        if let Some(seed) = state_file::load(file.as_deref())? {
            return Ok(seed);
        }
        let number = NumberId::parse(NUMBER).map_err(|error| error.to_string())?;
        if stack.operator.table.number_get(&number).await.is_ok_and(|known| known.is_some()) {
            return Err("the state folder has tables but no sandbox.json: remove the folder to start afresh".to_owned());
        }
        let seed = Self::plant(stack).await.map_err(|error| format!("the sandbox cannot be seeded: {error}"))?;
        state_file::save(file.as_deref(), &seed)?;
        Ok(seed)
    }

    async fn plant(stack: &Stack) -> Result<Self, Box<dyn std::error::Error>> {
        let operator = &stack.operator;
        let tenant: TenantId = operator.create_tenant("Sandbox").await?;
        let api_key = operator.create_key(Some(tenant), &[Scope::Read, Scope::Send, Scope::Manage]).await?;
        let operator_key = operator.create_key(None, &[Scope::Operator]).await?;
        let (app_secret, verify_token, access_token) = (random_secret()?, random_secret()?, random_secret()?);
        // Real access tokens begin with `EAA`, and secret scanners recognise them by it.
        let access_token = Secret::new(format!("EAA{}", access_token.expose()));
        let app = MetaApp {
            id: MetaAppId::parse(APP)?,
            app_secrets: vec![app_secret.clone()],
            verify_tokens: vec![verify_token.clone()],
        };
        operator.put_app(&app).await?;
        let settings =
            SignupSettings { client_id: CLIENT.to_owned(), config_id: CONFIG.to_owned(), ..SignupSettings::default() };
        operator.table.signup_settings_put(&app.id, &settings).await?;
        let number = Number {
            id: NumberId::parse(NUMBER)?,
            tenant,
            waba: WabaId::parse(WABA)?,
            display_phone_number: DISPLAY.to_owned(),
            coexistence: false,
            fallback: None,
            settings: Settings::default(),
        };
        operator.put_number(&number, &access_token, Some(&app.id)).await?;
        Ok(Self {
            tenant_id: tenant.to_string(),
            api_key: api_key.expose().to_owned(),
            operator_key: operator_key.expose().to_owned(),
            app_secret: app_secret.expose().to_owned(),
            verify_token: verify_token.expose().to_owned(),
            access_token: access_token.expose().to_owned(),
        })
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seed({})", self.tenant_id)
    }
}
