//! Checks a template message against Meta's stored definition before the message is accepted (`docs/meta/errors.md`,
//! 132xxx).

use shared::domain::accounts::number::Number;
use shared::domain::accounts::template::TemplateRecord;
use shared::domain::outgoing::{Definition, Template};
use shared::domain::sending::policy::{NumberStatus, TemplateFacts};
use shared::http::Problem;

use crate::Deps;

/// Meta's "template does not exist in this language".
const UNKNOWN: i64 = 132_001;
/// Meta's "flow is blocked".
const FLOW_BLOCKED: i64 = 132_068;

/// Known facts about a template, with its definition if that was fetched.
pub(crate) struct Known {
    pub(crate) facts: TemplateFacts,
    definition: Option<Definition>,
}

impl Known {
    /// Checks that the parameters match the template's definition. A template that was not fetched passes.
    pub(crate) fn check(&self, template: &Template) -> Result<(), Problem> {
        let checked = self.definition.as_ref().map_or(Ok(()), |definition| definition.check(template));
        checked.map_err(Problem::from)
    }

    /// Checks that no flow opened by the template is blocked at Meta.
    pub(crate) fn check_flows(&self, standing: &NumberStatus) -> Result<(), Problem> {
        let flows = self.definition.iter().flat_map(Definition::flows);
        let blocked = |flow: &&str| {
            // Other events of a flow have their own state keys.
            let key = format!("{flow}.flow_status_change");
            let is = |state: &shared::domain::accounts::account::StoredState| {
                state.aspect == "flow" && state.key.as_deref() == Some(&key) && state.word == "BLOCKED"
            };
            standing.account.iter().any(is)
        };
        match flows.into_iter().find(blocked) {
            Some(_) => {
                Err(Problem::violates("template.name", "must not open a flow that Meta has blocked", FLOW_BLOCKED))
            }
            None => Ok(()),
        }
    }
}

/// Looks up a template. An unknown template is refused only if the account's templates were fetched before.
pub(crate) async fn look_up(deps: &Deps, number: &Number, template: &Template) -> Result<Known, Problem> {
    let (name, language) = (&template.name, &template.language.code);
    let (facts, record) = deps.table.template_get_facts(&number.waba, name, language).await?;
    let exists = record.as_ref().is_some_and(|record| record.status.as_deref() != Some("DELETED"));
    if !exists && deps.table.template_get_fetched_at(&number.waba).await?.is_some() {
        let rule = format!("must be a template of the account: there is no {name} in {language}");
        return Err(Problem::violates("template.name", &rule, UNKNOWN)
            .remedy("If it is new, fetch the templates: POST /v1/accounts/{id}/templates/refresh."));
    }
    Ok(Known { facts, definition: record.as_ref().and_then(definition) })
}

fn definition(record: &TemplateRecord) -> Option<Definition> {
    let components = serde_json::from_str(record.components.as_deref()?).ok()?;
    Some(Definition::read(record.named, &components))
}
