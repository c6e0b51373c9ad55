//! KMS: symmetric keys, `Encrypt` and `Decrypt`. The encryption context is authenticated.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::AwsError;
use crate::state_file;

/// Largest plaintext of a symmetric KMS key, in bytes.
const PLAINTEXT_MAX: usize = 4_096;

/// The keys of one installation.
#[derive(Debug)]
pub struct Kms {
    file: Option<PathBuf>,
    keys: Mutex<BTreeMap<String, [u8; 32]>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    key_id: Option<String>,
    plaintext: Option<String>,
    ciphertext_blob: Option<String>,
    #[serde(default)]
    encryption_context: BTreeMap<String, String>,
}

/// A ciphertext: key id, nonce, and the output of AES-GCM.
#[derive(Serialize, Deserialize)]
struct Blob {
    key: String,
    nonce: [u8; NONCE_LEN],
    sealed: Vec<u8>,
}

impl Kms {
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, String> {
        let keys = state_file::load(file.as_deref())?.unwrap_or_default();
        Ok(Self { file, keys: Mutex::new(keys) })
    }

    /// Creates the key `id` unless it exists.
    ///
    /// # Errors
    /// When the operating system gives no random bytes, or the state folder cannot be written.
    pub fn create_key(&self, id: &str) -> Result<(), String> {
        let mut keys = self.keys.lock().map_err(|_| "the key store is broken".to_owned())?;
        if keys.contains_key(id) {
            return Ok(());
        }
        keys.insert(id.to_owned(), shared::random::bytes().map_err(|error| error.to_string())?);
        state_file::save(self.file.as_deref(), &*keys)
    }

    pub(super) fn answer(&self, operation: &str, body: &str) -> Result<Value, AwsError> {
        let request: Request =
            serde_json::from_str(body).map_err(|error| AwsError::new("ValidationException", error.to_string()))?;
        match operation {
            "Encrypt" => self.encrypt(&request),
            "Decrypt" => self.decrypt(&request),
            other => {
                Err(AwsError::new("UnsupportedOperationException", format!("embedded AWS does not do KMS {other}")))
            }
        }
    }

    fn encrypt(&self, request: &Request) -> Result<Value, AwsError> {
        let id = request.key_id.as_deref().unwrap_or_default();
        let mut sealed = decode(request.plaintext.as_deref())?;
        if sealed.is_empty() || sealed.len() > PLAINTEXT_MAX {
            return Err(AwsError::new("ValidationException", "Plaintext must be 1 to 4096 bytes"));
        }
        let nonce: [u8; NONCE_LEN] = shared::random::bytes().map_err(|error| internal(&error.to_string()))?;
        self.key(id)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(request), &mut sealed)
            .map_err(|_| internal("sealing failed"))?;
        let blob = serde_json::to_vec(&Blob { key: id.to_owned(), nonce, sealed }).map_err(|_| internal("blob"))?;
        Ok(json!({"CiphertextBlob": STANDARD.encode(blob), "KeyId": id, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
    }

    fn decrypt(&self, request: &Request) -> Result<Value, AwsError> {
        let invalid = || AwsError::new("InvalidCiphertextException", "");
        let blob = decode(request.ciphertext_blob.as_deref())?;
        let Blob { key, nonce, mut sealed } = serde_json::from_slice(&blob).map_err(|_| invalid())?;
        if request.key_id.as_ref().is_some_and(|id| *id != key) {
            return Err(AwsError::new("IncorrectKeyException", "the ciphertext was made with another key"));
        }
        let plaintext = self
            .key(&key)?
            .open_in_place(Nonce::assume_unique_for_key(nonce), aad(request), &mut sealed)
            .map_err(|_| invalid())?;
        Ok(json!({"Plaintext": STANDARD.encode(plaintext), "KeyId": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
    }

    fn key(&self, id: &str) -> Result<LessSafeKey, AwsError> {
        let keys = self.keys.lock().map_err(|_| internal("the key store is broken"))?;
        let material = keys.get(id).ok_or_else(|| AwsError::new("NotFoundException", "there is no such key"))?;
        UnboundKey::new(&AES_256_GCM, material).map(LessSafeKey::new).map_err(|_| internal("key"))
    }
}

/// The encryption context in sorted order. Any added, missing or changed pair gives different authenticated data.
fn aad(request: &Request) -> Aad<String> {
    Aad::from(format!("{:?}", request.encryption_context))
}

fn decode(base64: Option<&str>) -> Result<Vec<u8>, AwsError> {
    let text = base64.ok_or_else(|| AwsError::new("ValidationException", "a blob is missing"))?;
    STANDARD.decode(text).map_err(|error| AwsError::new("ValidationException", error.to_string()))
}

fn internal(message: &str) -> AwsError {
    AwsError { status: 500, code: "KMSInternalException", message: message.to_owned() }
}
