//! A number's business profile, short links and blocked customers (`docs/meta/messages.md#section-10`).

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::domain::accounts::token::AccessToken;
use crate::domain::ids::NumberId;
use crate::provider::meta::accounts::Paged;
use crate::provider::meta::graph::{CallFailure, GraphClient, call, refused_in_part};
use crate::provider::meta::oauth::unreadable;

const FIELDS: &str = "about,address,description,email,profile_picture_url,websites,vertical";

/// A short link that opens a conversation, with its QR code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShortLink {
    /// The link's code, 14 characters.
    pub code: String,
    /// Text that is prefilled in the customer's message field.
    pub prefilled_message: String,
    /// The link.
    pub deep_link_url: String,
    /// URL of the QR code's image, if one was requested.
    #[serde(default)]
    pub qr_image_url: Option<String>,
}

#[derive(Deserialize)]
struct BlockAnswer {
    block_users: BlockedUsers,
}

#[derive(Deserialize)]
struct BlockedUsers {
    #[serde(default)]
    failed_users: Vec<FailedUser>,
}

#[derive(Deserialize)]
struct FailedUser {
    #[serde(default)]
    errors: Vec<FailedWhy>,
}

#[derive(Deserialize)]
struct FailedWhy {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Upload {
    id: String,
}

#[derive(Deserialize)]
struct Handle {
    h: String,
}

impl GraphClient {
    /// Returns a number's business profile. Fields that are not set are absent.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn profile(&self, token: &AccessToken, number: &NumberId) -> Result<Map<String, Value>, CallFailure> {
        let path = format!("{number}/whatsapp_business_profile");
        let page: Paged<Map<String, Value>> = self.ask(token, &path, &[("fields", FIELDS)]).await?;
        let mut profile = page.data.into_iter().next().unwrap_or_default();
        // Meta's OpenAPI description nests the profile, its documentation pages do not.
        Ok(match profile.remove("business_profile") {
            Some(Value::Object(nested)) => nested,
            _ => profile,
        })
    }

    /// Changes the given fields of a profile.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn change_profile(
        &self,
        token: &AccessToken,
        number: &NumberId,
        mut change: Map<String, Value>,
    ) -> Result<(), CallFailure> {
        change.insert("messaging_product".to_owned(), json!("whatsapp"));
        let path = format!("{number}/whatsapp_business_profile");
        self.change(Method::POST, token, &path, Some(Value::Object(change))).await
    }

    /// Uploads a file that Meta then knows by a handle: a profile picture or the sample of a template.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn upload_handle(
        &self,
        token: &AccessToken,
        app: &str,
        mime: &str,
        file: Vec<u8>,
    ) -> Result<String, CallFailure> {
        let begin = self.with_token_or_refusal(Method::POST, &format!("{app}/uploads"), token)?;
        let length = file.len().to_string();
        let query = [("file_name", "file"), ("file_length", &length), ("file_type", mime)];
        let body = call(begin.query(&query)).await?;
        let upload: Upload = serde_json::from_slice(&body).map_err(|_| unreadable("Meta's answer has no upload"))?;
        let put = self.with_token_or_refusal(Method::POST, &upload.id, token)?;
        // This edge alone uses the scheme `OAuth`.
        let authority = HeaderValue::from_str(&format!("OAuth {}", token.value.expose()));
        let mut authority = authority.map_err(|_| unreadable("the stored token cannot be a header"))?;
        authority.set_sensitive(true);
        let mut put = put.header("file_offset", "0").body(file).build().map_err(|_| unreadable("no request"))?;
        put.headers_mut().insert(AUTHORIZATION, authority);
        let handle: Handle =
            serde_json::from_slice(&self.run(put).await?).map_err(|_| unreadable("Meta's answer has no handle"))?;
        Ok(handle.h)
    }

    /// Returns the number's short links.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn short_links(&self, token: &AccessToken, number: &NumberId) -> Result<Vec<ShortLink>, CallFailure> {
        self.all(token, &format!("{number}/message_qrdls"), "code,prefilled_message,deep_link_url,qr_image_url").await
    }

    /// Creates a short link, or changes the text of the link `code`.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn put_short_link(
        &self,
        token: &AccessToken,
        number: &NumberId,
        message: &str,
        code: Option<&str>,
        image: Option<&str>,
    ) -> Result<ShortLink, CallFailure> {
        let mut body = json!({"prefilled_message": message});
        for (name, value) in [("code", code), ("generate_qr_image", image)] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        let request = self.with_token_or_refusal(Method::POST, &format!("{number}/message_qrdls"), token)?;
        let answer = call(request.json(&body)).await?;
        serde_json::from_slice(&answer).map_err(|_| unreadable("Meta's answer has no link"))
    }

    /// Deletes a short link.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn delete_short_link(
        &self,
        token: &AccessToken,
        number: &NumberId,
        code: &str,
    ) -> Result<(), CallFailure> {
        self.change(Method::DELETE, token, &format!("{number}/message_qrdls/{code}"), None).await
    }

    /// Blocks or unblocks a customer. Only a customer who wrote within the last 24 hours can be blocked. `user` is a
    /// phone number with `+` or a business-scoped user id.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed; it contains Meta's reason if Meta refused this customer.
    pub async fn block(
        &self,
        token: &AccessToken,
        number: &NumberId,
        user: &str,
        block: bool,
    ) -> Result<(), CallFailure> {
        let method = if block { Method::POST } else { Method::DELETE };
        let request = self.with_token_or_refusal(method, &format!("{number}/block_users"), token)?;
        let key = if user.starts_with('+') { "user" } else { "user_id" };
        let body = json!({"messaging_product": "whatsapp", "block_users": [{key: user}]});
        // Meta reports a partial failure as HTTP 400 with both lists. With one customer it is the whole result.
        refused_in_part(request.json(&body), |answer| {
            let answer: BlockAnswer = serde_json::from_slice(answer).ok()?;
            let why = answer.block_users.failed_users.into_iter().next()?.errors.into_iter().next()?;
            Some((why.code, why.message))
        })
        .await
    }
}
