//! The tenant that the sandbox starts with: made once, and with a state folder remembered.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::domain::app::MetaApp;
use shared::domain::ids::{MetaAppId, PhoneNumberId, TenantId, WabaId};
use shared::domain::number::Number;
use shared::domain::tenant::Scope;
use shared::secret::Secret;
use shared::vault::random_secret;

use crate::stack::Stack;

/// The Meta app's name in its webhook URL.
pub(super) const APP: &str = "sandbox";
/// The number's id at Meta. Invented, like the two after it.
pub(super) const NUMBER: &str = "900100200300501";
/// The number's digits, of a range that belongs to nobody.
pub(super) const DISPLAY: &str = "15550001111";
/// The number's account.
pub(super) const WABA: &str = "900100200300401";

/// What was planted. The secrets open this sandbox and nothing else.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seed {
    /// The tenant.
    pub tenant_id: String,
    /// Its key.
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
    /// What `folder` remembers, or a new tenant with everything it needs.
    ///
    /// # Errors
    /// In words for whoever started the sandbox.
    pub async fn load_or_plant(folder: Option<&Path>, stack: &Stack) -> Result<Self, String> {
        let file = folder.map(|folder| folder.join("sandbox.json"));
        if let Some(known) = file.as_deref().and_then(read_state) {
            return serde_json::from_value(known).map_err(|error| format!("sandbox.json cannot be read: {error}"));
        }
        let seed = Self::plant(stack).await.map_err(|error| format!("the sandbox cannot be seeded: {error}"))?;
        if let Some(file) = file {
            let json = serde_json::to_value(&seed).map_err(|error| error.to_string())?;
            write_private(&file, &json)?;
        }
        Ok(seed)
    }

    async fn plant(stack: &Stack) -> Result<Self, Box<dyn std::error::Error>> {
        let operator = &stack.operator;
        let tenant: TenantId = operator.create_tenant("Sandbox").await?;
        let api_key = operator.create_key(Some(tenant), &[Scope::Read, Scope::Send, Scope::Manage]).await?;
        let operator_key = operator.create_key(None, &[Scope::Operator]).await?;
        let (app_secret, verify_token, access_token) = (random_secret()?, random_secret()?, random_secret()?);
        // Meta's own tokens begin like this; secret scanners know them by it.
        let access_token = Secret::new(format!("EAA{}", access_token.expose()));
        let app = MetaApp {
            id: MetaAppId::parse(APP)?,
            app_secrets: vec![app_secret.clone()],
            verify_tokens: vec![verify_token.clone()],
        };
        operator.put_app(&app).await?;
        let number = Number {
            id: PhoneNumberId::parse(NUMBER)?,
            tenant,
            waba: WabaId::parse(WABA)?,
            display_phone_number: DISPLAY.to_owned(),
        };
        operator.put_number(&number, &access_token).await?;
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

/// A JSON file, if it is there and readable.
pub(super) fn read_state(file: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Writes a JSON file whole, readable by its owner only.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write_private(file: &Path, json: &Value) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", file.display());
    let half = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&half).and_then(|mut open| open.write_all(json.to_string().as_bytes())).map_err(failed)?;
    std::fs::rename(&half, file).map_err(failed)
}
