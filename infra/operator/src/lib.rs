//! What an operator does by hand: prepare a new installation, create tenants, keys, Meta apps and numbers. Every
//! operation may be repeated, but what makes something new (a tenant, a key, a verify token that was not given) makes another. The sandbox seeds itself with the same calls.

pub mod copy;

use shared::api::{ApiKey, hash};
use shared::clock::Clock;
use shared::domain::app::{MetaApp, SignupSettings};
use shared::domain::broadcast::{Broadcast, BroadcastState};
use shared::domain::ids::{MetaAppId, ReplayId, TenantId};
use shared::domain::number::Number;
use shared::domain::tenant::{ApiKeyRecord, KEY_RATE_MAX, Scope};
use shared::domain::token::AccessToken;
use shared::keyring::SystemSecretName;
use shared::provider::meta::oauth::appsecret_proof;
use shared::queue::{Queue, QueueError, ReplayJob};
use shared::random::NoRandomness;
use shared::secret::Secret;
use shared::storage::{Hindrance, ReplayProgress, StorageError, Stored, Table};
use shared::vault::{Context, Vault, VaultError, random_secret};

/// Tenants read at a time.
const TENANTS_PAGE: u16 = 100;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The table.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// KMS.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No randomness for a key or an id.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The inbound queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A job that is no JSON.
    #[error("the replay cannot be written as a job")]
    BadJob,
    /// Keys cannot be hashed yet.
    #[error("this installation has no pepper yet: run `operator init` first")]
    NotInitialised,
    /// Two at a time are accepted, not three.
    #[error("version {0} is still accepted: drop it first (--drop-previous), once nothing uses it")]
    StillAccepted(u32),
    /// Two people at once.
    #[error("somebody else has just replaced it")]
    Raced,
    /// No such Meta app.
    #[error("there is no Meta app {0}: run `operator app` first")]
    NoApp(MetaAppId),
    /// No such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// A tenant that leaves connects nothing.
    #[error("tenant {0} is leaving")]
    Leaving(TenantId),
    /// What was stored of an account that left is being erased: wait for the offboarding.
    #[error("account {0} left, and what was stored of it is being erased: try again in an hour")]
    BeingErased(shared::domain::ids::WabaId),
    /// An account belongs to one tenant at a time.
    #[error("account {0} is connected to another tenant")]
    AccountTaken(shared::domain::ids::WabaId),
    /// A number belongs to one tenant at a time.
    #[error("number {0} is connected to another tenant")]
    NumberTaken(shared::domain::ids::PhoneNumberId),
}

/// What [`Operator::setup`] made. The keys are shown this once.
#[derive(Debug)]
pub struct Made {
    /// The tenant.
    pub tenant: TenantId,
    /// A key that creates tenants.
    pub operator_key: Secret,
    /// A key of the tenant.
    pub tenant_key: Secret,
}

/// What an operator works with.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The table.
    pub table: Table,
    /// The key that seals secrets.
    pub vault: Vault,
    /// Time.
    pub clock: Clock,
}

impl Operator {
    /// Makes the installation's own secrets, unless they exist.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn init(&self) -> Result<(), OperatorError> {
        for name in SystemSecretName::ALL {
            if self.table.system_secret(name).await?.is_none() {
                let sealed = self.vault.seal_own(name, &random_secret()?).await?;
                self.table.put_system_secret_once(name, &sealed).await?;
            }
        }
        Ok(())
    }

    /// Puts a fresh secret in the place of one of the installation's own; the one before is accepted until it is dropped. Answers the new
    /// version.
    ///
    /// # Errors
    /// Before [`Operator::init`], while an earlier one is still accepted, or when AWS does not answer.
    pub async fn rotate(&self, name: SystemSecretName) -> Result<u32, OperatorError> {
        let known = self.table.system_secret(name).await?.ok_or(OperatorError::NotInitialised)?;
        if known.previous.is_some() {
            return Err(OperatorError::StillAccepted(known.version - 1));
        }
        let fresh = self.vault.seal_own(name, &random_secret()?).await?;
        if !self.table.replace_system_secret(name, &known, &fresh).await? {
            return Err(OperatorError::Raced);
        }
        Ok(known.version + 1)
    }

    /// Accepts the secret before the present one no longer; functions forget it within five minutes.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn drop_previous(&self, name: SystemSecretName) -> Result<(), OperatorError> {
        Ok(self.table.drop_previous_secret(name).await?)
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn create_tenant(&self, name: &str) -> Result<TenantId, OperatorError> {
        let now = self.clock.now();
        let id = TenantId::generate(now)?;
        self.table.put_tenant(id, name, now).await?;
        Ok(id)
    }

    /// What a new installation needs before its first number.
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

    /// Creates an API key and returns it in clear, this once. Without a tenant it is an operator's key.
    ///
    /// # Errors
    /// When there is no such tenant, before [`Operator::init`], or when AWS does not answer.
    pub async fn create_key(&self, tenant: Option<TenantId>, scopes: &[Scope]) -> Result<Secret, OperatorError> {
        if let Some(tenant) = tenant
            && !self.table.has_tenant(tenant).await?
        {
            return Err(OperatorError::NoTenant(tenant));
        }
        let name = SystemSecretName::ApiKeyPepper;
        let stored = self.table.system_secret(name).await?.ok_or(OperatorError::NotInitialised)?;
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
        self.table.put_api_key(&record).await?;
        Ok(key.reveal())
    }

    /// Stores what proves a Meta app's webhooks, replacing what was stored for it.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn put_app(&self, app: &MetaApp) -> Result<(), OperatorError> {
        let sealed = self.vault.seal_app(app).await?;
        self.table.put_meta_app(&app.id, &sealed).await?;
        Ok(())
    }

    /// What proves a Meta app's webhooks.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn app(&self, id: &MetaAppId) -> Result<Option<MetaApp>, OperatorError> {
        let Some(sealed) = self.table.meta_app(id).await? else { return Ok(None) };
        Ok(Some(self.vault.open_app(id, &sealed).await?))
    }

    /// Records what signups through a Meta app need and, where it is given, the token of our own system user.
    ///
    /// # Errors
    /// When the app's secrets are not stored, or AWS does not answer.
    pub async fn put_signup(
        &self,
        app: &MetaAppId,
        settings: &SignupSettings,
        system_token: Option<&Secret>,
    ) -> Result<(), OperatorError> {
        if self.table.meta_app(app).await?.is_none() {
            return Err(OperatorError::NoApp(app.clone()));
        }
        self.table.put_signup_settings(app, settings).await?;
        let Some(token) = system_token else { return Ok(()) };
        let token = self.with_proof(app, token).await?;
        let sealed = self.vault.seal_token(&token, &Context::SystemToken(app.clone())).await?;
        self.table.put_system_token(app, &sealed).await?;
        Ok(())
    }

    /// Connects a number to a tenant and stores the token that sends from it. The token is stored first, so a number
    /// that is connected can send. Without the app that the token is of, nobody can ask what it is worth.
    ///
    /// # Errors
    /// When there is no such tenant or app, the number is another tenant's, or AWS does not answer.
    pub async fn put_number(
        &self,
        number: &Number,
        token: &Secret,
        app: Option<&MetaAppId>,
    ) -> Result<(), OperatorError> {
        if !self.table.has_tenant(number.tenant).await? {
            return Err(OperatorError::NoTenant(number.tenant));
        }
        let hindered = |hindrance| match hindrance {
            Hindrance::BeingErased => OperatorError::BeingErased(number.waba.clone()),
            Hindrance::TenantLeaves => OperatorError::Leaving(number.tenant),
            Hindrance::AccountTaken => OperatorError::AccountTaken(number.waba.clone()),
            Hindrance::NumberTaken => OperatorError::NumberTaken(number.id.clone()),
        };
        if let Some(hindrance) = self.table.hindrance(number).await? {
            return Err(hindered(hindrance));
        }
        let context = Context::GraphToken { tenant: number.tenant, waba: number.waba.clone() };
        let token = match app {
            Some(app) => self.with_proof(app, token).await?,
            None => AccessToken::unproved(token.clone()),
        };
        let sealed = self.vault.seal_token(&token, &context).await?;
        self.table.connect(number, (&sealed, app), self.clock.now()).await?.map_err(hindered)
    }

    async fn with_proof(&self, app: &MetaAppId, token: &Secret) -> Result<AccessToken, OperatorError> {
        let sealed = self.table.meta_app(app).await?.ok_or_else(|| OperatorError::NoApp(app.clone()))?;
        let secrets = self.vault.open_app(app, &sealed).await?.app_secrets;
        let proof = secrets.first().map(|secret| appsecret_proof(secret, token));
        Ok(AccessToken { value: token.clone(), proof })
    }

    /// Pauses every broadcast that is under way. After the table was restored nobody knows whom one reached since; whoever began it resumes or
    /// cancels it. Those that were paused.
    ///
    /// # Errors
    /// When the table does not answer: some are paused. It may be repeated.
    pub async fn pause_broadcasts(&self) -> Result<Vec<Broadcast>, OperatorError> {
        let (mut paused, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.table.tenants(TENANTS_PAGE, cursor.as_deref()).await?;
            for tenant in page.items {
                for number in self.table.all_numbers(tenant.id).await? {
                    for broadcast in self.table.running(&number.id).await? {
                        if self.table.steer(&broadcast, BroadcastState::Paused).await? == Stored::New {
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

    /// Starts a replay: the inbound function walks it and notes how far it has come.
    ///
    /// # Errors
    /// When AWS does not answer.
    pub async fn start_replay(&self, inbound: &Queue, job: &ReplayJob) -> Result<(), OperatorError> {
        let progress = ReplayProgress { tenant: job.tenant, period: job.period(), read: 0, queued: 0, done_at: None };
        self.table.put_replay(job.id, &progress).await?;
        let text = job.encode().map_err(|_| OperatorError::BadJob)?;
        Ok(inbound.send(text, ReplayJob::GROUP).await?)
    }

    /// How far a replay has come; `None` if there is none of this id.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, OperatorError> {
        Ok(self.table.replay(id).await?)
    }
}
