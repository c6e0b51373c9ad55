//! Templates, files and read receipts of the simulated accounts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Meta;

/// A template of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaTemplate {
    /// Name of the template.
    pub name: String,
    /// Language code, such as `en_US`.
    pub language: String,
    /// `APPROVED`, or the state in which it cannot be sent.
    pub status: String,
    /// Names of the body's variables; numbers if they are positional.
    pub variables: Vec<String>,
    /// Category; empty means `UTILITY`.
    #[serde(default)]
    pub category: String,
    /// Components. If empty, a body is generated from the variables.
    #[serde(default)]
    pub components: Vec<Value>,
    /// Meta's id, assigned by [`Meta::put_template`] if empty.
    #[serde(default)]
    pub id: String,
}

impl MetaTemplate {
    fn is_named(&self) -> bool {
        self.variables.iter().any(|name| name.parse::<u32>().is_err())
    }

    /// Returns the template as the Graph API lists it.
    pub(super) fn listed(&self) -> Value {
        let text: Vec<String> = self.variables.iter().map(|name| format!("then {{{{{name}}}}}")).collect();
        let made_up = vec![json!({"type": "BODY", "text": format!("Hello {} and goodbye.", text.join(" "))})];
        json!({
            "id": self.id, "name": self.name, "language": self.language, "status": self.status,
            "category": if self.category.is_empty() { "UTILITY" } else { &self.category },
            "parameter_format": if self.is_named() { "NAMED" } else { "POSITIONAL" },
            "components": if self.components.is_empty() { made_up } else { self.components.clone() },
            "quality_score": {"score": "UNKNOWN", "date": 1_795_000_000}, "rejected_reason": "NONE",
        })
    }
}

/// Returns the templates that every simulated account starts with.
#[must_use]
pub fn sample_templates() -> Vec<MetaTemplate> {
    let of = |name: &str, variables: &[&str]| MetaTemplate {
        name: name.to_owned(),
        language: "en_US".to_owned(),
        status: "APPROVED".to_owned(),
        variables: variables.iter().map(|name| (*name).to_owned()).collect(),
        ..MetaTemplate::default()
    };
    vec![
        of("hello_world", &[]),
        of("order_update", &["1", "2"]),
        of("order_ready", &["first_name", "order"]),
        of("otp_login", &["1"]),
        of("we_answered", &[]),
    ]
}

impl Meta {
    /// Adds or changes a template.
    pub fn put_template(&self, mut template: MetaTemplate) {
        let key = format!("{}/{}", template.name, template.language);
        let mut state = self.lock();
        state.serial += 1;
        if template.id.is_empty() {
            template.id = state
                .templates
                .get(&key)
                .map_or_else(|| format!("12345678{:08}", state.serial), |known| known.id.clone());
        }
        state.templates.insert(key, template);
    }

    /// Sets the maximum number of messages per second that Meta accepts from a number.
    pub fn set_rate(&self, number: &str, rate: usize) {
        self.lock().limits.set(number, rate);
    }

    /// Returns the highest number of messages within one second of this number.
    #[must_use]
    pub fn busiest_second(&self, number: &str) -> usize {
        self.lock().limits.busiest(number)
    }

    /// Returns the read receipts and typing indicators, in order of arrival.
    #[must_use]
    pub fn marks(&self) -> Vec<Value> {
        self.lock().marks.clone()
    }

    pub(super) fn marked(&self, number: &str, wamid: &str, body: Value) -> bool {
        let mut state = self.lock();
        let known = state.received.get(wamid).is_some_and(|to| to == number);
        if known {
            state.marks.push(body);
        }
        known
    }

    pub(super) fn take_file(&self, number: &str) -> String {
        let mut state = self.lock();
        state.serial += 1;
        let id = format!("7001002{:08}", state.serial);
        state.files.insert(id.clone(), number.to_owned());
        id
    }

    pub(super) fn has_file(&self, number: &str, id: &str) -> bool {
        self.lock().files.get(id).is_some_and(|of| of == number)
    }

    /// Returns the number of uploaded files.
    #[must_use]
    pub fn files(&self) -> usize {
        self.lock().files.len()
    }

    /// Checks a template message as Meta does: the template exists, is approved, and gets a value for each variable.
    pub(super) fn check_template(&self, template: &Value) -> Result<(), (i64, &'static str, String)> {
        let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = format!("{}/{}", part(&template["name"]), part(&template["language"]["code"]));
        let known = self.lock().templates.get(&key).cloned();
        let known = known.ok_or((132_001, "Template does not exist", format!("{key} does not exist")))?;
        match known.status.as_str() {
            "APPROVED" => {}
            "PAUSED" => return Err((132_015, "Template is paused", "Low quality".to_owned())),
            "DISABLED" => return Err((132_016, "Template is disabled", "Low quality".to_owned())),
            _ => return Err((132_001, "Template does not exist", format!("{key} is {}", known.status))),
        }
        let components = template["components"].as_array().cloned().unwrap_or_default();
        let body = components.iter().find(|component| component["type"] == "body");
        let given = body.and_then(|body| body["parameters"].as_array().cloned()).unwrap_or_default();
        if given.len() != known.variables.len() {
            let details = format!("{} parameters instead of {}", given.len(), known.variables.len());
            return Err((132_000, "Number of parameters does not match", details));
        }
        let named = known.variables.iter().any(|name| name.parse::<u32>().is_err());
        let fits = |parameter: &Value| match (named, parameter["parameter_name"].as_str()) {
            (true, Some(name)) => known.variables.iter().any(|variable| variable == name),
            (named, name) => !named && name.is_none(),
        };
        if !given.iter().all(fits) {
            return Err((132_012, "Parameter format does not match", "parameter_name".to_owned()));
        }
        Ok(())
    }
}
