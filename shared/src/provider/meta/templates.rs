//! Templates at Meta: list, create, edit, delete (`docs/meta/messages.md#section-12`).

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::accounts::template::ListedTemplate;
use crate::domain::accounts::token::AccessToken;
use crate::domain::ids::WabaId;
use crate::provider::meta::graph::{CallFailure, GraphClient, call};
use crate::provider::meta::oauth::unreadable;

const FIELDS: &str = "id,name,language,status,category,components,quality_score,rejected_reason,parameter_format";

#[derive(Deserialize)]
struct Wire {
    id: String,
    name: String,
    language: String,
    status: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    components: Value,
    #[serde(default)]
    quality_score: Option<Score>,
    #[serde(default)]
    rejected_reason: Option<String>,
    #[serde(default)]
    parameter_format: Option<String>,
}

#[derive(Deserialize)]
struct Score {
    #[serde(default)]
    score: Option<String>,
}

/// Meta's response to a new template. The category may differ from the requested one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Created {
    /// The template's id.
    pub id: String,
    /// `PENDING`, `APPROVED` or `REJECTED`.
    #[serde(default)]
    pub status: Option<String>,
    /// The category that Meta assigned.
    #[serde(default)]
    pub category: Option<String>,
}

impl GraphClient {
    /// Returns all templates of an account.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn templates(&self, token: &AccessToken, account: &WabaId) -> Result<Vec<ListedTemplate>, CallFailure> {
        let wires: Vec<Wire> = self.all(token, &format!("{account}/message_templates"), FIELDS).await?;
        let listed = |wire: Wire| ListedTemplate {
            named: wire.parameter_format.is_some_and(|format| format.eq_ignore_ascii_case("NAMED")),
            components: wire.components.to_string(),
            quality: wire.quality_score.and_then(|score| score.score),
            rejected_reason: wire.rejected_reason.filter(|reason| reason != "NONE"),
            id: wire.id,
            name: wire.name,
            language: wire.language,
            status: wire.status,
            category: wire.category,
        };
        Ok(wires.into_iter().map(listed).collect())
    }

    /// Calls `POST /{account}/message_templates`. Meta refuses a second template of the same name and language.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn create_template(
        &self,
        token: &AccessToken,
        account: &WabaId,
        template: &Value,
    ) -> Result<Created, CallFailure> {
        let request = self.with_token_or_refusal(Method::POST, &format!("{account}/message_templates"), token)?;
        let body = call(request.json(template)).await?;
        serde_json::from_slice(&body).map_err(|_| unreadable("Meta's answer has no template"))
    }

    /// Calls `POST /{template}`. All components are replaced.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn edit_template(&self, token: &AccessToken, id: &str, change: &Value) -> Result<(), CallFailure> {
        self.change(Method::POST, token, id, Some(change.clone())).await
    }

    /// Calls `DELETE /{account}/message_templates` for one language. May be repeated. Meta blocks the name of an
    /// approved template for 30 days.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn delete_template(
        &self,
        token: &AccessToken,
        account: &WabaId,
        id: &str,
        name: &str,
    ) -> Result<(), CallFailure> {
        let path = format!("{account}/message_templates");
        let request = self.with_token_or_refusal(Method::DELETE, &path, token)?;
        call(request.query(&[("hsm_id", id), ("name", name)])).await?;
        Ok(())
    }
}

/// Returns the request body for a new template.
#[must_use]
pub fn creation(
    name: &str,
    language: &str,
    category: &str,
    named: bool,
    components: &Value,
    ttl: Option<i64>,
) -> Value {
    let mut body = json!({
        "name": name, "language": language, "category": category, "components": components,
        "parameter_format": if named { "NAMED" } else { "POSITIONAL" },
    });
    if let Some(ttl) = ttl {
        body["message_send_ttl_seconds"] = json!(ttl);
    }
    body
}
