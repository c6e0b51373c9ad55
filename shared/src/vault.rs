//! Secrets sealed by KMS.
//!
//! The encryption context, which KMS checks, binds each to its owner and purpose: a sealed secret moved to another row,
//! tenant or purpose cannot be opened. CloudTrail shows the context, so it contains ids only.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::aws::{Direct, DirectError, Service};
use crate::domain::accounts::app::MetaApp;
use crate::domain::accounts::token::AccessToken;
use crate::domain::ids::{MetaAppId, NumberId, OnboardingId, TenantId, WabaId};
use crate::keyring::{Keyring, Remembered, SystemSecret, SystemSecretName};
use crate::secret::{Sealed, Secret};
use crate::telemetry::Metrics;

/// KMS's error code when a policy does not allow the call.
const ACCESS_DENIED: &str = "AccessDeniedException";
/// KMS's code for a ciphertext of another context, or a damaged one.
const INVALID_CIPHERTEXT: &str = "InvalidCiphertextException";

/// Seals and opens secrets with one KMS key.
#[derive(Debug, Clone)]
pub struct Vault {
    aws: Direct,
    key_id: String,
    metrics: Option<Metrics>,
}

/// Owner and purpose of a secret: the encryption context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// App secrets and verify tokens of a Meta app.
    MetaApp(MetaAppId),
    /// The access token of a WhatsApp Business account.
    GraphToken {
        /// The owner.
        tenant: TenantId,
        /// The account.
        waba: WabaId,
    },
    /// A token from a signup, before its account is known.
    OnboardingToken {
        /// The tenant that connects a number.
        tenant: TenantId,
        /// The onboarding.
        onboarding: OnboardingId,
    },
    /// The token of an app's own system user, for credit lines and for the tokens of hosted signups.
    SystemToken(MetaAppId),
    /// The PIN of a number's two-step verification.
    Pin {
        /// The owner.
        tenant: TenantId,
        /// The number.
        number: NumberId,
    },
    /// The pepper that API keys are hashed with.
    ApiKeyPepper,
    /// The key of the MAC in our callback data.
    CallbackMac,
}

impl Context {
    /// Returns the key-value pairs that KMS receives.
    #[must_use]
    pub fn pairs(&self) -> HashMap<String, String> {
        let (purpose, owner) = match self {
            Self::MetaApp(app) => ("app", vec![("app", app.to_string())]),
            Self::SystemToken(app) => ("system-token", vec![("app", app.to_string())]),
            Self::GraphToken { tenant, waba } => {
                ("graph-token", vec![("tenant", tenant.to_string()), ("waba", waba.to_string())])
            }
            Self::OnboardingToken { tenant, onboarding } => {
                ("onboarding-token", vec![("tenant", tenant.to_string()), ("onboarding", onboarding.to_string())])
            }
            Self::Pin { tenant, number } => {
                ("pin", vec![("tenant", tenant.to_string()), ("number", number.to_string())])
            }
            Self::ApiKeyPepper => ("api-key-pepper", Vec::new()),
            Self::CallbackMac => ("callback-mac", Vec::new()),
        };
        let fixed = [("v", "1".to_owned()), ("purpose", purpose.to_owned())];
        fixed.into_iter().chain(owner).map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The reason why a secret was not sealed or opened. Never contains the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// KMS did not answer, or refuses us for now; the call may be repeated.
    #[error("KMS did not answer: {0}")]
    Unavailable(String),
    /// The sealed secret does not belong to this context, or is damaged.
    #[error("the sealed secret cannot be opened with this encryption context")]
    WrongContext,
    /// The opened content does not have the form that this purpose requires.
    #[error("the opened secret has an unexpected format")]
    Malformed,
}

impl Vault {
    /// Creates a vault over the KMS key `key_id` (id, ARN or alias).
    #[must_use]
    pub fn new(aws: Direct, key_id: String) -> Self {
        Self { aws, key_id, metrics: None }
    }

    /// Counts calls that KMS denied as `kms_denied`: a function asked for a secret it may not read, or a policy is
    /// wrong.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        Self { metrics: Some(metrics.clone()), ..self }
    }

    /// One operation of KMS.
    async fn call<A: for<'a> Deserialize<'a>>(&self, target: &'static str, ask: String) -> Result<A, VaultError> {
        match self.aws.call(Service::Kms, target, ask, None).await {
            Ok(answer) => serde_json::from_slice(&answer).map_err(|_| VaultError::Malformed),
            Err(DirectError::Refused(code)) if code == INVALID_CIPHERTEXT => Err(VaultError::WrongContext),
            Err(DirectError::Refused(code) | DirectError::Unavailable(code)) => {
                if let (ACCESS_DENIED, Some(metrics)) = (code.as_str(), &self.metrics) {
                    metrics.count("kms_denied", "operation", 1);
                }
                Err(VaultError::Unavailable(code))
            }
        }
    }

    /// Seals a secret of at most 4,096 bytes, KMS's limit.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] when KMS does not answer.
    pub async fn seal(&self, secret: &Secret, context: &Context) -> Result<Sealed, VaultError> {
        let plaintext = Zeroizing::new(STANDARD.encode(secret.expose()));
        let ask = Encrypt { key_id: &self.key_id, plaintext: &plaintext, encryption_context: context.pairs() };
        let sealed: Encrypted = self.call("TrentService.Encrypt", json(&ask)?).await?;
        Ok(Sealed::from_bytes(STANDARD.decode(sealed.ciphertext_blob).map_err(|_| VaultError::Malformed)?))
    }

    /// Opens a sealed secret. The call names the key, so ciphertext of another key cannot be opened.
    ///
    /// # Errors
    /// [`VaultError::WrongContext`] when it belongs to another context, [`VaultError::Malformed`] when it is not UTF-8,
    /// [`VaultError::Unavailable`] when KMS does not answer.
    pub async fn open(&self, sealed: &Sealed, context: &Context) -> Result<Secret, VaultError> {
        let ciphertext_blob = STANDARD.encode(sealed.bytes());
        let ask = Decrypt { key_id: &self.key_id, ciphertext_blob, encryption_context: context.pairs() };
        let opened: Decrypted = self.call("TrentService.Decrypt", json(&ask)?).await?;
        let plaintext = Zeroizing::new(opened.plaintext);
        let plaintext = STANDARD.decode(plaintext.as_bytes()).map_err(|_| VaultError::Malformed)?;
        match String::from_utf8(plaintext) {
            Ok(text) => Ok(Secret::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(VaultError::Malformed)
            }
        }
    }

    /// Seals a token together with its `appsecret_proof`.
    ///
    /// # Errors
    /// As [`Vault::seal`].
    pub async fn seal_token(&self, token: &AccessToken, context: &Context) -> Result<Sealed, VaultError> {
        let Some(proof) = &token.proof else { return self.seal(&token.value, context).await };
        let mut wire = TokenAndProof { token: token.value.expose().to_owned(), proof: proof.expose().to_owned() };
        let json = serde_json::to_string(&wire).map_err(|_| VaultError::Malformed);
        wire.token.zeroize();
        wire.proof.zeroize();
        self.seal(&Secret::new(json?), context).await
    }

    /// Opens a token. One that was sealed without a proof has none.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub async fn open_token(&self, sealed: &Sealed, context: &Context) -> Result<AccessToken, VaultError> {
        let opened = self.open(sealed, context).await?;
        if !opened.expose().starts_with('{') {
            return Ok(AccessToken::unproved(opened));
        }
        let wire: TokenAndProof = serde_json::from_str(opened.expose()).map_err(|_| VaultError::Malformed)?;
        Ok(AccessToken { value: Secret::new(wire.token), proof: Some(Secret::new(wire.proof)) })
    }

    /// Seals one of the installation's own secrets.
    ///
    /// # Errors
    /// As [`Vault::seal`].
    pub async fn seal_own(&self, name: SystemSecretName, secret: &Secret) -> Result<Sealed, VaultError> {
        self.seal(secret, &own_context(name)).await
    }

    /// Opens the accepted versions of one of the installation's own secrets.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub async fn open_own(&self, name: SystemSecretName, stored: &SystemSecret) -> Result<Keyring, VaultError> {
        let context = own_context(name);
        let previous = match &stored.previous {
            Some(sealed) => Some(self.open(sealed, &context).await?),
            None => None,
        };
        Ok(Keyring::new(stored.version, self.open(&stored.sealed, &context).await?, previous))
    }

    /// Returns the keyring of `name` from the cache, or else opens the secret that `stored` reads. `None` before
    /// `operator init`.
    ///
    /// # Errors
    /// When AWS does not answer and nothing is cached.
    pub async fn remembered<E: From<VaultError>>(
        &self,
        memory: &Remembered,
        name: SystemSecretName,
        stored: impl Future<Output = Result<Option<SystemSecret>, E>>,
    ) -> Result<Option<Arc<Keyring>>, E> {
        let fetch = async {
            let Some(stored) = stored.await? else { return Ok(None) };
            Ok(Some(Arc::new(self.open_own(name, &stored).await?)))
        };
        memory.get(&(), fetch).await
    }

    /// Seals the secrets that verify a Meta app's webhooks.
    ///
    /// # Errors
    /// As [`Vault::seal`].
    pub async fn seal_app(&self, app: &MetaApp) -> Result<Sealed, VaultError> {
        let exposed = |secrets: &[Secret]| secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        let mut wire =
            AppSecrets { app_secrets: exposed(&app.app_secrets), verify_tokens: exposed(&app.verify_tokens) };
        let json = serde_json::to_string(&wire).map_err(|_| VaultError::Malformed);
        wire.app_secrets.zeroize();
        wire.verify_tokens.zeroize();
        self.seal(&Secret::new(json?), &Context::MetaApp(app.id.clone())).await
    }

    /// Opens the secrets that verify a Meta app's webhooks.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub async fn open_app(&self, id: &MetaAppId, sealed: &Sealed) -> Result<MetaApp, VaultError> {
        read_app(id, &self.open(sealed, &Context::MetaApp(id.clone())).await?)
    }
}

/// Reads a Meta app's secrets from their opened form.
///
/// # Errors
/// [`VaultError::Malformed`] when it has another form.
fn read_app(id: &MetaAppId, opened: &Secret) -> Result<MetaApp, VaultError> {
    let wire: AppSecrets = serde_json::from_str(opened.expose()).map_err(|_| VaultError::Malformed)?;
    let hidden = |secrets: Vec<String>| secrets.into_iter().map(Secret::new).collect();
    Ok(MetaApp { id: id.clone(), app_secrets: hidden(wire.app_secrets), verify_tokens: hidden(wire.verify_tokens) })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypt<'a> {
    key_id: &'a str,
    plaintext: &'a str,
    encryption_context: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt<'a> {
    key_id: &'a str,
    ciphertext_blob: String,
    encryption_context: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    plaintext: String,
}

fn json<T: Serialize>(ask: &T) -> Result<String, VaultError> {
    serde_json::to_string(ask).map_err(|_| VaultError::Malformed)
}

#[derive(Serialize, Deserialize)]
struct TokenAndProof {
    token: String,
    proof: String,
}

#[derive(Serialize, Deserialize)]
struct AppSecrets {
    app_secrets: Vec<String>,
    verify_tokens: Vec<String>,
}

fn own_context(name: SystemSecretName) -> Context {
    match name {
        SystemSecretName::ApiKeyPepper => Context::ApiKeyPepper,
        SystemSecretName::CallbackMac => Context::CallbackMac,
    }
}

/// Returns a new random secret of 256 bits, in hex.
///
/// # Errors
/// When the operating system has no randomness.
pub fn random_secret() -> Result<Secret, crate::random::NoRandomness> {
    let bytes = Zeroizing::new(crate::random::bytes::<32>()?);
    Ok(Secret::new(hex::encode(bytes.as_slice())))
}
