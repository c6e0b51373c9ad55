//! Reads `template.yaml` for tests: references become the names of their targets, and conditions are decided.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

/// A template with decided conditions.
pub(crate) struct Template {
    pub(crate) body: Value,
}

impl Template {
    /// Reads a template of the repository. Only the conditions named in `holds` are true.
    pub(crate) fn read(file: &str, holds: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(file);
        let mut yaml: Yaml = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        yaml.apply_merge().unwrap();
        let holds = holds.iter().copied().collect();
        Self { body: plain(&yaml, &holds).unwrap() }
    }

    /// Returns the resources of a type with their logical ids.
    pub(crate) fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let resources = self.body["Resources"].as_object().unwrap();
        resources.iter().filter(move |(_, one)| one["Type"] == kind).map(|(name, one)| (name.as_str(), one))
    }

    pub(crate) fn properties(&self, resource: &str) -> &Value {
        &self.body["Resources"][resource]["Properties"]
    }
}

/// Converts a value to JSON without tags; `None` if a condition removes it.
fn plain(yaml: &Yaml, holds: &BTreeSet<&str>) -> Option<Value> {
    Some(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(it) => Value::Bool(*it),
        Yaml::Number(it) => it.as_i64().map_or_else(|| Value::from(it.as_f64()), Value::from),
        Yaml::String(it) => Value::String(it.clone()),
        Yaml::Sequence(all) => Value::Array(all.iter().filter_map(|one| plain(one, holds)).collect()),
        Yaml::Mapping(all) => {
            let pair = |(name, value): (&Yaml, &Yaml)| Some((name.as_str()?.to_owned(), plain(value, holds)?));
            Value::Object(all.iter().filter_map(pair).collect::<Map<_, _>>())
        }
        Yaml::Tagged(tagged) => return function(&tagged.tag.to_string(), &tagged.value, holds),
    })
}

/// Evaluates an intrinsic function. References and ARNs of a resource become its logical id.
fn function(tag: &str, argument: &Yaml, holds: &BTreeSet<&str>) -> Option<Value> {
    match tag {
        "!Ref" if argument.as_str() == Some("AWS::NoValue") => None,
        "!Ref" => plain(argument, holds),
        "!GetAtt" => Some(Value::from(argument.as_str()?.trim_end_matches(".Arn"))),
        "!Sub" => Some(Value::from(substituted(argument.as_str()?))),
        "!If" => {
            let [condition, yes, no] = argument.as_sequence()?.as_slice() else { panic!("an !If of three") };
            plain(if holds.contains(condition.as_str()?) { yes } else { no }, holds)
        }
        // Other functions occur only in conditions and rules.
        _ => Some(Value::Null),
    }
}

/// Replaces `${Name}` and `${Name.Arn}` by the name.
fn substituted(text: &str) -> String {
    let mut parts = text.split("${");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap();
        whole.push_str(name.trim_end_matches(".Arn"));
        whole.push_str(rest);
    }
    whole
}
