//! Draft of a template for approval: Meta's formal rules, checked before the request
//! (`docs/meta/messages.md#section-12`).

use serde_json::Value;

use crate::domain::outgoing::check::{Checked, Violation, after_scheme, length};
use crate::domain::outgoing::definition::variables;
use crate::domain::outgoing::{TEMPLATE_BODY_MAX, TEMPLATE_BUTTONS_MAX};

/// Meta's code for "invalid parameter".
const INVALID: i64 = 100;
/// Meta's code for "variables at the beginning or end of the text".
const AT_THE_EDGE: i64 = 2_388_299;
/// Meta's code for "too many variables for the length of the text".
const TOO_MANY: i64 = 2_388_293;
/// Longest header and longest footer, in characters (Meta).
const LINE_MAX: usize = 60;
/// Longest label of a button, in characters (Meta).
const LABEL_MAX: usize = 25;
/// Longest URL of a button, in characters (Meta).
const URL_MAX: usize = 2_000;
/// Most buttons per kind (Meta).
const MOST: [(&str, usize); 3] = [("URL", 2), ("PHONE_NUMBER", 1), ("COPY_CODE", 1)];

/// Checks whether components may be submitted to Meta for approval.
///
/// # Errors
/// Names the field, the rule, and the error code that Meta would return.
pub fn check(components: &Value, named: bool) -> Result<(), Violation> {
    let list = components.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| broken("components", INVALID, "must be a list that is not empty"))?;
    let kind = |component: &Value| component.get("type").and_then(Value::as_str).unwrap_or_default().to_uppercase();
    let mut seen = Vec::new();
    for (at, component) in list.iter().enumerate() {
        let path = format!("components[{at}]");
        let kind = kind(component);
        if kind.is_empty() {
            return Err(broken(&format!("{path}.type"), INVALID, "is required"));
        }
        if seen.contains(&kind) {
            return Err(broken(&format!("{path}.type"), INVALID, "must not stand twice"));
        }
        match kind.as_str() {
            "HEADER" => header(&path, component, named)?,
            "BODY" => body(&path, component, named)?,
            "FOOTER" => footer(&path, component)?,
            "BUTTONS" => buttons(&path, component)?,
            _ => {}
        }
        seen.push(kind);
    }
    if seen.iter().any(|kind| kind == "BODY") { Ok(()) } else { Err(broken("components", INVALID, "must have a BODY")) }
}

fn broken(field: &str, code: i64, rule: &str) -> Violation {
    Violation::new(field, code, rule.to_owned())
}

fn text<'a>(component: &'a Value, name: &str) -> Option<&'a str> {
    component.get(name).and_then(Value::as_str)
}

fn at_most(path: &str, text: &str, max: usize) -> Checked {
    if length(text) <= max { Ok(()) } else { Err(broken(path, INVALID, &format!("must be at most {max} characters"))) }
}

fn header(path: &str, component: &Value, named: bool) -> Checked {
    let format = text(component, "format").unwrap_or("TEXT").to_uppercase();
    let known = ["TEXT", "IMAGE", "VIDEO", "DOCUMENT", "LOCATION", "GIF", "PRODUCT"];
    if !known.contains(&format.as_str()) {
        return Err(broken(&format!("{path}.format"), INVALID, &format!("must be one of {}", known.join(", "))));
    }
    let example = component.get("example");
    if format != "TEXT" {
        let needs = ["IMAGE", "VIDEO", "DOCUMENT", "GIF"].contains(&format.as_str());
        let given = example.and_then(|example| example.get("header_handle")).is_some();
        let rule =
            "must hold a header_handle: a sample file uploaded to Meta (`POST /v1/accounts/{id}/templates/samples`)";
        return if given || !needs { Ok(()) } else { Err(broken(&format!("{path}.example"), INVALID, rule)) };
    }
    let Some(line) = text(component, "text").filter(|line| !line.is_empty()) else {
        return Err(broken(&format!("{path}.text"), INVALID, "is required"));
    };
    at_most(&format!("{path}.text"), line, LINE_MAX)?;
    let variables = variables(line);
    if variables.len() > 1 {
        return Err(broken(&format!("{path}.text"), INVALID, "must have at most one variable"));
    }
    examples(path, example, &variables, named, "header_text", "header_text_named_params")
}

fn body(path: &str, component: &Value, named: bool) -> Checked {
    // Meta writes the body of templates for one-time codes.
    if component.get("add_security_recommendation").is_some() {
        return Ok(());
    }
    let field = format!("{path}.text");
    let Some(body) = text(component, "text").filter(|body| !body.is_empty()) else {
        return Err(broken(&field, INVALID, "is required"));
    };
    at_most(&field, body, TEMPLATE_BODY_MAX)?;
    let (inside, all) = (body.trim(), variables(body));
    if inside.starts_with("{{") || inside.ends_with("}}") {
        return Err(broken(&field, AT_THE_EDGE, "must not begin or end with a variable"));
    }
    let words = inside.split_whitespace().filter(|word| !word.contains("{{")).count();
    if words < all.len() * 2 {
        return Err(broken(&field, TOO_MANY, "must have more words for so many variables"));
    }
    let spelled = |name: &String| match named {
        true => name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
        false => name.parse::<usize>().is_ok_and(|number| (1..=all.len()).contains(&number)),
    };
    if !all.iter().all(spelled) {
        let rule = match named {
            true => "must name its variables in lower-case letters, digits and underscores",
            false => "must number its variables from {{1}} on, without a gap (or say parameter_format NAMED)",
        };
        return Err(broken(&field, INVALID, rule));
    }
    examples(path, component.get("example"), &all, named, "body_text", "body_text_named_params")
}

/// Checks that every variable has an example, which Meta's reviewers need.
fn examples(
    path: &str,
    example: Option<&Value>,
    variables: &[String],
    named: bool,
    positional: &str,
    by_name: &str,
) -> Checked {
    let list = |name: &str| example.and_then(|example| example.get(name)).and_then(Value::as_array);
    let given = if named {
        list(by_name).map_or(0, Vec::len)
    } else {
        // The examples of a body are a list of lists, those of a header a list.
        let values = list(positional);
        values.map_or(0, |values| values.first().and_then(Value::as_array).unwrap_or(values).len())
    };
    let name = if named { by_name } else { positional };
    let rule = format!("must have an example for each of the {} variables", variables.len());
    if given == variables.len() { Ok(()) } else { Err(broken(&format!("{path}.example.{name}"), INVALID, &rule)) }
}

fn footer(path: &str, component: &Value) -> Checked {
    // Meta writes the footer of templates for one-time codes.
    if component.get("code_expiration_minutes").is_some() {
        return Ok(());
    }
    let field = format!("{path}.text");
    let Some(line) = text(component, "text").filter(|line| !line.is_empty()) else {
        return Err(broken(&field, INVALID, "is required"));
    };
    at_most(&field, line, LINE_MAX)?;
    if variables(line).is_empty() { Ok(()) } else { Err(broken(&field, INVALID, "must have no variables")) }
}

fn buttons(path: &str, component: &Value) -> Checked {
    let path = format!("{path}.buttons");
    let buttons = component.get("buttons").and_then(Value::as_array).filter(|buttons| !buttons.is_empty());
    let buttons = buttons.ok_or_else(|| broken(&path, INVALID, "must be a list that is not empty"))?;
    if buttons.len() > TEMPLATE_BUTTONS_MAX {
        return Err(broken(&path, INVALID, &format!("must be at most {TEMPLATE_BUTTONS_MAX}")));
    }
    let kinds: Vec<String> = buttons.iter().map(|one| text(one, "type").unwrap_or_default().to_uppercase()).collect();
    for (kind, most) in MOST {
        if kinds.iter().filter(|one| *one == kind).count() > most {
            return Err(broken(&path, INVALID, &format!("must have at most {most} of type {kind}")));
        }
    }
    let changes = kinds.windows(2).filter(|pair| (pair[0] == "QUICK_REPLY") != (pair[1] == "QUICK_REPLY")).count();
    if changes > 1 {
        return Err(broken(&path, INVALID, "must have its QUICK_REPLY buttons together"));
    }
    for (at, (button, kind)) in buttons.iter().zip(&kinds).enumerate() {
        let path = format!("{path}[{at}]");
        if let Some(label) = text(button, "text") {
            at_most(&format!("{path}.text"), label, LABEL_MAX)?;
        } else if ["QUICK_REPLY", "URL", "PHONE_NUMBER"].contains(&kind.as_str()) {
            return Err(broken(&format!("{path}.text"), INVALID, "is required"));
        }
        if kind == "URL" {
            url(&path, button)?;
        }
    }
    Ok(())
}

fn url(path: &str, button: &Value) -> Checked {
    let field = format!("{path}.url");
    let url = text(button, "url").unwrap_or_default();
    at_most(&field, url, URL_MAX)?;
    if after_scheme(url).is_none() {
        return Err(broken(&field, INVALID, "must be http or https"));
    }
    let variables = variables(url);
    if variables.len() > 1 || (variables.len() == 1 && !url.ends_with("}}")) {
        return Err(broken(&field, INVALID, "must have at most one variable, at its end"));
    }
    let example = button.get("example").is_some();
    if variables.is_empty() || example {
        Ok(())
    } else {
        Err(broken(&format!("{path}.example"), INVALID, "is required"))
    }
}
