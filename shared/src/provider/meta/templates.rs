//! Templates at Meta: listed whole, created, edited, deleted (`facts/messages.md` §12).

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::graph::{CallFailure, GraphClient, call};
use super::oauth::unreadable;
use crate::domain::ids::WabaId;
use crate::domain::template::ListedTemplate;
use crate::domain::token::AccessToken;

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

/// What Meta answers to a new template. Its category may be another one than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// `PENDING`, `APPROVED`, `REJECTED`.
    #[serde(default)]
    pub status: Option<String>,
    /// What Meta takes it for.
    #[serde(default)]
    pub category: Option<String>,
}

impl GraphClient {
    /// All templates of an account, page by page to the last one.
    ///
    /// # Errors
    /// How the call ended otherwise.
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

    /// `POST /{account}/message_templates`. Meta refuses a second one of the same name and language.
    ///
    /// # Errors
    /// How the call ended otherwise.
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

    /// `POST /{template}`: all components are replaced.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn edit_template(&self, token: &AccessToken, id: &str, change: &Value) -> Result<(), CallFailure> {
        self.change(Method::POST, token, id, Some(change.clone())).await
    }

    /// `DELETE /{account}/message_templates` of one language. Repeating it changes nothing; Meta blocks an approved name for 30 days.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn delete_template(
        &self,
        token: &AccessToken,
        account: &WabaId,
        (id, name): (&str, &str),
    ) -> Result<(), CallFailure> {
        let path = format!("{account}/message_templates");
        let request = self.with_token_or_refusal(Method::DELETE, &path, token)?;
        call(request.query(&[("hsm_id", id), ("name", name)])).await?;
        Ok(())
    }
}

/// The body of a new template, in Meta's own fields.
#[must_use]
pub fn creation(
    (name, language, category): (&str, &str, &str),
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
