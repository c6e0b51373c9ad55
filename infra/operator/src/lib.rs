//! Manual operations of an operator: prepare a new installation, create tenants, API keys, Meta apps and numbers.
//! Every operation may be repeated. One that creates something new (a tenant, a key, a verify token that was not given)
//! creates another each time. The sandbox seeds itself with the same calls.

pub mod copy;

use shared::api::{ApiKey, hash};
use shared::clock::Clock;
use shared::domain::accounts::app::{MetaApp, SignupSettings};
use shared::domain::accounts::number::Number;
use shared::domain::accounts::tenant::{ApiKeyRecord, KEY_RATE_MAX, Scope};
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::{MetaAppId, ReplayId, TenantId};
use shared::domain::sending::broadcast::{Broadcast, BroadcastState};
use shared::keyring::SystemSecretName;
use shared::provider::meta::oauth::appsecret_proof;
use shared::queue::{Queue, QueueError, ReplayJob};
use shared::random::NoRandomness;
use shared::secret::Secret;
use shared::storage::{ConnectError, ConnectFailure, ReplayProgress, StorageError, Stored, Table};
use shared::vault::{Context, Vault, VaultError, random_secret};

/// Tenants per page of the registry walk.
const TENANTS_PAGE: u16 = 100;

/// Reason why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// DynamoDB failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// KMS failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The operating system gave no random bytes for a key or an id.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The inbound queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The replay job cannot be encoded as JSON.
    #[error("the replay job cannot be encoded")]
    BadJob,
    /// The pepper does not exist, so API keys cannot be hashed.
    #[error("this installation has no pepper yet: run `operator init` first")]
    NotInitialised,
    /// Two versions of the secret are already accepted; a third is not possible.
    #[error("version {0} is still accepted: drop it first (--drop-previous) when nothing uses it any more")]
    StillAccepted(u32),
    /// Another rotation of the same secret won.
    #[error("another rotation of this secret just finished")]
    Raced,
    /// The Meta app is not stored.
    #[error("Meta app {0} is not stored: run `operator app` first")]
    NoApp(MetaAppId),
    /// The tenant does not exist.
    #[error("tenant {0} does not exist")]
    NoTenant(TenantId),
    /// The tenant is being offboarded, so nothing can be connected to it.
    #[error("tenant {0} is being offboarded")]
    Leaving(TenantId),
    /// The account left, and its data is being erased. It can be connected again after the offboarding ends.
    #[error("account {0} left and its data is being erased: try again in an hour")]
    BeingErased(shared::domain::ids::WabaId),
    /// The account is connected to another tenant.
    #[error("account {0} is connected to another tenant")]
    AccountTaken(shared::domain::ids::WabaId),
    /// The number is connected to another tenant.
    #[error("number {0} is connected to another tenant")]
    NumberTaken(shared::domain::ids::NumberId),
}

/// Result of [`Operator::setup`]. The keys are not stored in clear and cannot be shown again.
#[derive(Debug)]
pub struct Made {
    /// The new tenant.
    pub tenant: TenantId,
    /// An operator's key: it can create tenants.
    pub operator_key: Secret,
    /// A key of the new tenant.
    pub tenant_key: Secret,
}

/// Dependencies of the operations.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The table of the installation.
    pub table: Table,
    /// Seals and opens secrets with the installation's KMS key.
    pub vault: Vault,
    /// Source of the current time.
    pub clock: Clock,
}

impl Operator {
    /// Creates the installation's own secrets that do not exist yet.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn init(&self) -> Result<(), OperatorError> {
        for name in SystemSecretName::ALL {
            if self.table.system_secret_get(name).await?.is_none() {
                let sealed = self.vault.seal_own(name, &random_secret()?).await?;
                self.table.system_secret_put_once(name, &sealed).await?;
            }
        }
        Ok(())
    }

    /// Replaces one of the installation's own secrets with a new one and returns the new version. The previous secret
    /// is accepted until [`Operator::drop_previous`].
    ///
    /// # Errors
    /// Before [`Operator::init`], while an earlier secret is still accepted, or when AWS does not answer.
    pub async fn rotate(&self, name: SystemSecretName) -> Result<u32, OperatorError> {
        let known = self.table.system_secret_get(name).await?.ok_or(OperatorError::NotInitialised)?;
        if known.previous.is_some() {
            return Err(OperatorError::StillAccepted(known.version - 1));
        }
        let fresh = self.vault.seal_own(name, &random_secret()?).await?;
        if !self.table.system_secret_replace(name, &known, &fresh).await? {
            return Err(OperatorError::Raced);
        }
        Ok(known.version + 1)
    }

    /// Stops accepting the previous secret. Running functions may accept it for five more minutes (their cache).
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn drop_previous(&self, name: SystemSecretName) -> Result<(), OperatorError> {
        Ok(self.table.system_secret_drop_previous(name).await?)
    }

    /// Creates a tenant and returns its id.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn create_tenant(&self, name: &str) -> Result<TenantId, OperatorError> {
        let now = self.clock.now();
        let id = TenantId::generate(now)?;
        self.table.tenant_put(id, name, now).await?;
        Ok(id)
    }

    /// Prepares a new installation for its first number: own secrets, Meta app, tenant, an operator's key and a key of
    /// the tenant.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn setup(&self, app: &MetaApp, tenant: &str) -> Result<Made, OperatorError> {
        self.init().await?;
        self.put_app(app).await?;
        let tenant = self.create_tenant(tenant).await?;
        let all = [Scope::Read, Scope::Send, Scope::Manage];
        Ok(Made {
            tenant,
            operator_key: self.create_key(None, &[Scope::Operator]).await?,
            tenant_key: self.create_key(Some(tenant), &all).await?,
        })
    }

    /// Creates an API key and returns it in clear. Without a tenant it is an operator's key.
    ///
    /// # Errors
    /// When the tenant does not exist, before [`Operator::init`], or when AWS does not answer.
    pub async fn create_key(&self, tenant: Option<TenantId>, scopes: &[Scope]) -> Result<Secret, OperatorError> {
        if let Some(tenant) = tenant
            && !self.table.tenant_exists(tenant).await?
        {
            return Err(OperatorError::NoTenant(tenant));
        }
        let name = SystemSecretName::ApiKeyPepper;
        let stored = self.table.system_secret_get(name).await?.ok_or(OperatorError::NotInitialised)?;
        let peppers = self.vault.open_own(name, &stored).await?;
        let (version, pepper) = peppers.current();
        let now = self.clock.now();
        let key = ApiKey::generate(now)?;
        let record = ApiKeyRecord {
            id: key.id.clone(),
            hash: hash(&key, pepper),
            pepper: version,
            tenant,
            scopes: scopes.to_vec(),
            name: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            requests_per_second: KEY_RATE_MAX,
            last_used_at: None,
        };
        self.table.api_key_put(&record).await?;
        Ok(key.reveal())
    }

    /// Stores a Meta app's secrets and verify tokens, replacing the stored ones.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn put_app(&self, app: &MetaApp) -> Result<(), OperatorError> {
        let sealed = self.vault.seal_app(app).await?;
        self.table.meta_app_put(&app.id, &sealed).await?;
        Ok(())
    }

    /// Returns a Meta app's secrets and verify tokens.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn app(&self, id: &MetaAppId) -> Result<Option<MetaApp>, OperatorError> {
        let Some(sealed) = self.table.meta_app_get(id).await? else { return Ok(None) };
        Ok(Some(self.vault.open_app(id, &sealed).await?))
    }

    /// Stores the settings for signups through a Meta app and, if given, the token of our own system user.
    ///
    /// # Errors
    /// When the app is not stored, or AWS does not answer.
    pub async fn put_signup(
        &self,
        app: &MetaAppId,
        settings: &SignupSettings,
        system_token: Option<&Secret>,
    ) -> Result<(), OperatorError> {
        if self.table.meta_app_get(app).await?.is_none() {
            return Err(OperatorError::NoApp(app.clone()));
        }
        self.table.signup_settings_put(app, settings).await?;
        let Some(token) = system_token else { return Ok(()) };
        let token = self.with_proof(app, token).await?;
        let sealed = self.vault.seal_token(&token, &Context::SystemToken(app.clone())).await?;
        self.table.system_token_put(app, &sealed).await?;
        Ok(())
    }

    /// Connects a number to a tenant and stores the access token it sends with. The token is stored first, so a
    /// connected number can always send.
    /// Without `app` the token carries no `appsecret_proof`, and token-refresh cannot check it (`debug_token` needs the
    /// app).
    ///
    /// # Errors
    /// When the tenant or app does not exist, the number or account belongs to another tenant, the tenant or account is
    /// being erased, or AWS does not answer.
    pub async fn put_number(
        &self,
        number: &Number,
        token: &Secret,
        app: Option<&MetaAppId>,
    ) -> Result<(), OperatorError> {
        if !self.table.tenant_exists(number.tenant).await? {
            return Err(OperatorError::NoTenant(number.tenant));
        }
        let hindered = |hindrance| match hindrance {
            ConnectError::BeingErased => OperatorError::BeingErased(number.waba.clone()),
            ConnectError::TenantLeaves => OperatorError::Leaving(number.tenant),
            ConnectError::AccountTaken => OperatorError::AccountTaken(number.waba.clone()),
            ConnectError::NumberTaken => OperatorError::NumberTaken(number.id.clone()),
        };
        if let Some(hindrance) = self.table.account_check_connectable(number).await? {
            return Err(hindered(hindrance));
        }
        let context = Context::GraphToken { tenant: number.tenant, waba: number.waba.clone() };
        let token = match app {
            Some(app) => self.with_proof(app, token).await?,
            None => AccessToken::unproved(token.clone()),
        };
        let sealed = self.vault.seal_token(&token, &context).await?;
        self.table.account_connect(number, &sealed, app, self.clock.now()).await.map_err(|failure| match failure {
            ConnectFailure::Refused(error) => hindered(error),
            ConnectFailure::Storage(error) => error.into(),
        })
    }

    async fn with_proof(&self, app: &MetaAppId, token: &Secret) -> Result<AccessToken, OperatorError> {
        let sealed = self.table.meta_app_get(app).await?.ok_or_else(|| OperatorError::NoApp(app.clone()))?;
        let secrets = self.vault.open_app(app, &sealed).await?.app_secrets;
        let proof = secrets.first().map(|secret| appsecret_proof(secret, token));
        Ok(AccessToken { value: token.clone(), proof })
    }

    /// Pauses every running broadcast and returns those that were paused.
    /// Needed after a restore: the table no longer knows which recipients were sent to since the restore point. The
    /// tenant resumes or cancels each.
    ///
    /// # Errors
    /// When the table does not answer. Some broadcasts are then paused already; the call may be repeated.
    pub async fn pause_broadcasts(&self) -> Result<Vec<Broadcast>, OperatorError> {
        let (mut paused, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.table.tenant_list(TENANTS_PAGE, cursor.as_deref()).await?;
            for tenant in page.items {
                for number in self.table.number_list_all(tenant.id).await? {
                    for broadcast in self.table.broadcast_list_running(&number.id).await? {
                        if self.table.broadcast_set_state(&broadcast, BroadcastState::Paused).await? == Stored::New {
                            paused.push(broadcast);
                        }
                    }
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(paused);
            }
        }
    }

    /// Starts a replay. The inbound function executes it and records its progress.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn start_replay(&self, inbound: &Queue, job: &ReplayJob) -> Result<(), OperatorError> {
        let progress = ReplayProgress { tenant: job.tenant, period: job.period(), read: 0, queued: 0, done_at: None };
        self.table.replay_put(job.id, &progress).await?;
        let text = job.encode().map_err(|_| OperatorError::BadJob)?;
        Ok(inbound.send(text, ReplayJob::GROUP).await?)
    }

    /// Returns the progress of a replay; `None` if the id is unknown.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, OperatorError> {
        Ok(self.table.replay_get(id).await?)
    }
}
