//! Evaluates `template.yaml`'s policies as IAM does within one account.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use sandbox::aws::permissions::Permissions;
use sandbox::stack::{
    BUCKET, INBOUND, INBOUND_DEAD, KEY, ONBOARDING, ONBOARDING_DEAD, OUTBOUND, OUTBOUND_DEAD, RELEASE, RELEASE_DEAD,
    TABLE,
};
use serde_json::Value;

use crate::cloudformation::Template;

/// A request that a function might make.
pub(crate) struct Request<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    /// Condition keys of the request, each with one value.
    pub(crate) context: Vec<(&'a str, &'a str)>,
}

/// The statements that apply to a role.
pub(crate) struct Said<'a> {
    identity: Vec<&'a Value>,
    key: Vec<&'a Value>,
    role: String,
}

impl<'a> Said<'a> {
    pub(crate) fn about(template: &'a Template, function: &str) -> Self {
        let role = format!("{function}Role");
        let properties = template.properties(&role);
        let own = list(&properties["Policies"]).into_iter().map(|policy| &policy["PolicyDocument"]);
        let managed = list(&properties["ManagedPolicyArns"]).into_iter();
        let managed = managed.map(|name| &template.properties(name.as_str().unwrap())["PolicyDocument"]);
        let identity = own.chain(managed).flat_map(|document| list(&document["Statement"])).collect();
        Self { identity, key: list(&template.properties("Key")["KeyPolicy"]["Statement"]), role }
    }

    /// Evaluates as IAM does within one account: any denial wins; otherwise one allow is enough. Statements of the
    /// key's policy allow directly, but rights that the key's policy gives to the account must also be in the role's
    /// own policy.
    pub(crate) fn allows(&self, request: &Request<'_>) -> bool {
        let fits = |statement: &&&Value| applies(statement, request);
        let effect = |statements: &[&Value], effect: &str| {
            statements.iter().filter(|one| one["Effect"] == effect).any(|one| fits(&one))
        };
        let of_key = |effect: &str, whom: &dyn Fn(&str) -> bool| {
            request.resource == "Key"
                && self.key.iter().filter(|one| one["Effect"] == effect).any(|one| {
                    let principal = one["Principal"]["AWS"].as_str().or(one["Principal"].as_str()).unwrap();
                    whom(principal) && applies_to_key(one, request)
                })
        };
        let denied =
            effect(&self.identity, "Deny") || of_key("Deny", &|principal| principal == "*" || principal == self.role);
        let by_identity = effect(&self.identity, "Allow");
        let account = |principal: &str| principal.ends_with(":root");
        let allowed = if request.resource == "Key" {
            of_key("Allow", &|principal| principal == self.role) || by_identity && of_key("Allow", &account)
        } else {
            by_identity
        };
        allowed && !denied
    }
}

pub(crate) fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn applies(statement: &Value, request: &Request<'_>) -> bool {
    let resource = list(&statement["Resource"]).iter().any(|one| like(one.as_str().unwrap(), request.resource));
    resource && applies_to_key(statement, request)
}

fn applies_to_key(statement: &Value, request: &Request<'_>) -> bool {
    let named = |key: &str| list(&statement[key]).iter().any(|one| like(one.as_str().unwrap(), request.action));
    let action = if statement["NotAction"].is_null() { named("Action") } else { !named("NotAction") };
    let conditions = statement["Condition"].as_object().into_iter().flatten();
    action
        && conditions.into_iter().all(|(operator, keys)| {
            keys.as_object().unwrap().iter().all(|(key, wanted)| holds(operator, key, &list(wanted), request))
        })
}

fn holds(operator: &str, key: &str, wanted: &[&Value], request: &Request<'_>) -> bool {
    let given = request.context.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let is_any = |value: &str| wanted.iter().any(|one| like(one.as_str().unwrap(), value));
    match operator {
        "StringEquals" => given.is_some_and(is_any),
        // `StringNotLike` of the principal excludes the roles of this stack, and only those are evaluated here. In the
        // other arms a missing key equals nothing, and `ForAllValues` is true for it.
        "StringNotLike" if key == "aws:PrincipalArn" => false,
        "StringNotEquals" => given.is_none_or(|value| !is_any(value)),
        "ForAllValues:StringLike" => given.is_none_or(is_any),
        "ForAnyValue:StringLike" => given.is_some_and(is_any),
        "Null" => given.is_none() == (wanted[0] == "true"),
        _ => panic!("the evaluator does not know {operator}"),
    }
}

/// Matches a pattern with `*`, as in ARNs and actions.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// Returns the permissions of `template.yaml`'s roles for embedded AWS, so that each function is held to its own role.
/// A signer that is not a function may do everything.
pub(crate) fn permissions() -> Permissions {
    // Some tests read Meta's message history, which is an optional parameter of the template.
    static TEMPLATE: LazyLock<Template> = LazyLock::new(|| Template::read("template.yaml", &["ReadsMessageHistory"]));
    static SAID: LazyLock<BTreeMap<String, Said<'static>>> = LazyLock::new(|| {
        let functions = TEMPLATE.of_type("AWS::Serverless::Function");
        functions
            .map(|(name, function)| {
                let binary = function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
                (binary.to_owned(), Said::about(&TEMPLATE, name.trim_end_matches("Function")))
            })
            .collect()
    });
    Arc::new(|signer, asked| {
        let Some(said) = SAID.get(signer) else { return true };
        let context = asked.context.iter().map(|(name, value)| (*name, value.as_str())).collect();
        said.allows(&Request { action: &asked.action, resource: &named(&asked.resource), context })
    })
}

/// Returns the logical id in the template for a resource of the sandbox.
fn named(resource: &str) -> String {
    const NAMES: [(&str, &str); 11] = [
        (TABLE, "Table"),
        (BUCKET, "RawBucket"),
        (KEY, "Key"),
        (INBOUND, "InboundQueue"),
        (INBOUND_DEAD, "InboundDeadLetters"),
        (OUTBOUND, "OutboundQueue"),
        (OUTBOUND_DEAD, "OutboundDeadLetters"),
        (RELEASE, "ReleaseQueue"),
        (RELEASE_DEAD, "ReleaseDeadLetters"),
        (ONBOARDING, "OnboardingQueue"),
        (ONBOARDING_DEAD, "OnboardingDeadLetters"),
    ];
    let (first, rest) = resource.split_at(resource.find('/').unwrap_or(resource.len()));
    let name = NAMES.iter().find(|(here, _)| *here == first).map_or(first, |(_, name)| name);
    format!("{name}{rest}")
}
