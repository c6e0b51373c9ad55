//! Files that customers sent. Meta keeps them for seven days; a download link is valid for five minutes
//! (`docs/meta/messages.md#section-9`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use reqwest::{Method, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::domain::accounts::token::AccessToken;
use crate::domain::event::ProviderError;
use crate::domain::ids::{MetaFileId, NumberId};
use crate::provider::meta::graph::{CallFailure, GraphClient, call, failed, lost};

/// Largest file that Meta accepts from a customer, in bytes (100 MB).
pub const FILE_MAX: usize = 100 * 1024 * 1024;
/// Hosts from which Meta serves files. Only they receive the access token.
const HOSTS: [&str; 3] = ["fbsbx.com", "facebook.com", "whatsapp.net"];

/// Download link of a customer's file, valid for five minutes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileAtMeta {
    url: String,
    /// The file's media type, as Meta reports it.
    pub mime_type: String,
    #[serde(default)]
    sha256: Option<String>,
}

fn bad(title: &str, details: &str) -> ProviderError {
    ProviderError::ours(title, details)
}

impl GraphClient {
    /// Calls `GET /{media-id}`: the download link of a file that a customer sent to this number. `None` if the id
    /// belongs to something else than a file.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed; Meta's code 100 means that the file is not the number's, or
    /// older than seven days.
    pub async fn file(
        &self,
        token: &AccessToken,
        number: &NumberId,
        id: &MetaFileId,
    ) -> Result<Option<FileAtMeta>, CallFailure> {
        let request = self.with_token_or_refusal(Method::GET, id.as_str(), token)?;
        let answered = call(request.query(&[("phone_number_id", number.as_str())])).await?;
        Ok(serde_json::from_slice(&answered).ok())
    }

    /// Downloads the file and compares it with the hash that Meta gave.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed; refused if the link does not lead to Meta, or if the file is
    /// larger than [`FILE_MAX`].
    pub async fn download(&self, token: &AccessToken, file: &FileAtMeta) -> Result<Bytes, CallFailure> {
        let url = Url::parse(&file.url).ok().filter(|url| self.is_metas(url));
        let url = url.ok_or_else(|| CallFailure::Refused(bad("file_elsewhere", "the file's link leads elsewhere")))?;
        let request = self.with_bearer(Method::GET, url, token)?;
        let mut reply = request.send().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))?;
        let status = reply.status();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reply.chunk().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))? {
            if bytes.len() + chunk.len() > FILE_MAX {
                return Err(CallFailure::Refused(bad("file_too_large", "the file is larger than 100 MB")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(failed(status, &bytes));
        }
        let is_whole = file.sha256.as_deref().is_none_or(|said| is_hash_of(said, &bytes));
        if !is_whole {
            return Err(CallFailure::TryLater(bad("file_damaged", "the file is not the one that Meta named")));
        }
        Ok(bytes.freeze())
    }

    fn is_metas(&self, url: &Url) -> bool {
        let within = |host: &str| {
            HOSTS.iter().any(|metas| host == *metas || host.strip_suffix(metas).is_some_and(|rest| rest.ends_with('.')))
        };
        url.scheme() == "https" && url.host_str().is_some_and(within) || self.is_own(url)
    }
}

/// Compares with a hash in hex or in base 64; Meta uses both (`docs/meta/messages.md#section-9`).
fn is_hash_of(said: &str, bytes: &[u8]) -> bool {
    let hash = Sha256::digest(bytes);
    said.eq_ignore_ascii_case(&hex::encode(hash)) || said == STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::meta::graph::{GraphEndpoint, PUBLIC_URL};

    #[test]
    fn a_token_is_shown_to_meta_and_nobody_else() {
        let graph = GraphClient::new(&GraphEndpoint::at(PUBLIC_URL)).unwrap();
        let is_metas = |url: &str| graph.is_metas(&Url::parse(url).unwrap());
        assert!(is_metas("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1"));
        assert!(is_metas("https://scontent.whatsapp.net/x") && is_metas("https://graph.facebook.com/x"));
        for elsewhere in [
            "http://lookaside.fbsbx.com/x",
            "https://evilfbsbx.com/x",
            "https://fbsbx.com.evil.example/x",
            "https://evil.example/fbsbx.com",
            "https://graph.facebook.com@evil.example/x",
        ] {
            assert!(!is_metas(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_hash_may_be_in_hex_or_in_base_64() {
        let hash = Sha256::digest(b"file");
        assert!(is_hash_of(&hex::encode(hash), b"file") && is_hash_of(&STANDARD.encode(hash), b"file"));
        assert!(!is_hash_of(&hex::encode(hash), b"other") && !is_hash_of("", b"file"));
    }
}
