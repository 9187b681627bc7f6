//! Compares answers of the API with its OpenAPI document.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::{Value, json};

/// An answer of the API.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The path of the request, without the query.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// The content type, if there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a str,
}

/// Checks that the document has this answer: its status and content type for this operation, and that its body is valid.
/// At an address or for a method that the document does not have, only the problem that says so is right.
///
/// # Errors
/// Returns an error that says how the two differ.
pub fn described(answered: Answered<'_>) -> Result<(), String> {
    check(markback_http::document(), answered)
}

fn check(document: &'static Value, answered: Answered<'_>) -> Result<(), String> {
    let Answered {
        method,
        path,
        status,
        ..
    } = answered;
    let told = |what: &str| format!("{method} {path} answered {status}: {what}");
    let Some((template, item)) = matching(document, path) else {
        return nothing_else(answered, 404, "/problems/not-found").map_err(|what| told(&what));
    };
    let method = method.to_ascii_lowercase();
    let Some(operation) = item.get(&method) else {
        return nothing_else(answered, 405, "/problems/method-not-allowed")
            .map_err(|what| told(&what));
    };
    let response = operation["responses"].get(status.to_string());
    let response = response.ok_or_else(|| told("the document does not have this status"))?;
    let response = resolved(document, response).ok_or_else(|| told("a reference leads nowhere"))?;
    let Some(contents) = response.get("content").and_then(Value::as_object) else {
        return if answered.body.is_empty() {
            Ok(())
        } else {
            Err(told("the document has no body"))
        };
    };
    let mime = mime(answered).ok_or_else(|| told("there is no content type"))?;
    let content = contents.get(mime);
    let content = content.ok_or_else(|| told(&format!("the document does not have {mime}")))?;
    if !is_json(mime) {
        return Ok(());
    }
    let body = serde_json::from_str(answered.body).map_err(|_| told("the body is not JSON"))?;
    let key = format!("{document:p} {method} {template} {status} {mime}");
    let validator = validator(document, key, &content["schema"])?;
    let faults: Vec<_> = validator
        .iter_errors(&body)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(told(&format!("{}\n{body:#}", faults.join("\n"))))
}

fn nothing_else(answered: Answered<'_>, status: u16, kind: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(answered.body).unwrap_or_default();
    if answered.status == status && body["type"] == kind {
        return Ok(());
    }
    Err("the document does not have this address or method".to_owned())
}

fn mime(answered: Answered<'_>) -> Option<&str> {
    let mime = answered.content_type?.split(';').next()?.trim();
    (!mime.is_empty()).then_some(mime)
}

fn is_json(mime: &str) -> bool {
    mime == "application/json" || mime.ends_with("+json")
}

/// The path of the document that this path belongs to. One without parameters comes first.
fn matching<'d>(document: &'d Value, path: &str) -> Option<(&'d str, &'d Value)> {
    let segments: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<_> = template.split('/').collect();
        let part = |(part, segment): (&&str, &&str)| {
            part == segment || (part.starts_with('{') && !segment.is_empty())
        };
        parts.len() == segments.len() && parts.iter().zip(&segments).all(part)
    };
    let mut found: Vec<_> = document["paths"]
        .as_object()?
        .iter()
        .filter(|(template, _)| fits(template))
        .collect();
    found.sort_by_key(|(template, _)| template.matches('{').count());
    found
        .first()
        .map(|(template, item)| (template.as_str(), *item))
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> Option<&'d Value> {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.strip_prefix('#')?),
        None => Some(value),
    }
}

/// The validator of a schema in the document, which is compiled once.
fn validator(
    document: &'static Value,
    key: String,
    schema: &Value,
) -> Result<Arc<Validator>, String> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> =
        LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = compiled.get(&key) {
        return Ok(known.clone());
    }
    let mut root = json!({"components": document["components"], "allOf": [schema]});
    close(&mut root, true);
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    let validator = options
        .build(&root)
        .map_err(|error| format!("{key}: {error}"))?;
    let validator = Arc::new(validator);
    compiled.insert(key, validator.clone());
    Ok(validator)
}

/// Lets schemas with properties have no others. The document itself leaves that open, because later versions may add some; but
/// it must have all that this version answers.
fn close(schema: &mut Value, whole: bool) {
    match schema {
        Value::Object(fields) => {
            let has_properties = fields.get("properties").is_some_and(Value::is_object);
            for (word, value) in fields.iter_mut() {
                // Choices of a schema with properties are parts of it.
                let is_choice = matches!(word.as_str(), "anyOf" | "oneOf" | "allOf");
                close(value, !(is_choice && has_properties));
            }
            if has_properties && whole {
                let word = "unevaluatedProperties".to_owned();
                fields.entry(word).or_insert(Value::Bool(false));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| close(value, whole)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let json = |schema: Value| json!({"description": "", "content": {"application/json": {"schema": schema}}});
        json!({
            "paths": {
                "/things/{id}": {"get": {"responses": {
                    "200": json(json!({"$ref": "#/components/schemas/Thing"})),
                    "204": {"description": ""},
                    "404": {"$ref": "#/components/responses/404"},
                }}},
                "/things/all": {"get": {"responses": {"200": json(json!({"type": "array"}))}}},
            },
            "components": {
                "schemas": {"Thing": {
                    "type": "object",
                    "properties": {"at": {"type": "string", "format": "date-time"}},
                    "required": ["at"],
                }},
                "responses": {"404": {"description": "", "content": {"application/problem+json": {"schema": true}}}},
            },
        })
    });

    const JSON: Option<&str> = Some("application/json; charset=utf-8");
    const PROBLEM: Option<&str> = Some("application/problem+json");
    const GOOD: &str = r#"{"at": "2026-11-23T08:50:00Z"}"#;

    #[rstest]
    #[case("GET", "/things/a", 200, JSON, GOOD, None)]
    #[case("GET", "/things/all", 200, JSON, "[]", None)]
    #[case("GET", "/things/a", 204, None, "", None)]
    #[case("GET", "/things/a", 404, PROBLEM, "{}", None)]
    #[case(
        "GET",
        "/none",
        404,
        PROBLEM,
        r#"{"type": "/problems/not-found"}"#,
        None
    )]
    #[case(
        "PUT",
        "/things/a",
        405,
        PROBLEM,
        r#"{"type": "/problems/method-not-allowed"}"#,
        None
    )]
    #[case("GET", "/things/a", 201, JSON, GOOD, Some("does not have this status"))]
    #[case(
        "GET",
        "/things/a",
        200,
        Some("text/plain"),
        GOOD,
        Some("does not have text/plain")
    )]
    #[case("GET", "/things/a", 200, None, GOOD, Some("no content type"))]
    #[case(
        "GET",
        "/things/a",
        200,
        JSON,
        "{}",
        Some("\"at\" is a required property")
    )]
    #[case(
        "GET",
        "/things/a",
        200,
        JSON,
        r#"{"at": "noon"}"#,
        Some("/at: \"noon\"")
    )]
    #[case(
        "GET",
        "/things/a",
        200,
        JSON,
        r#"{"at": "2026-11-23T08:50:00Z", "by": "Ann"}"#,
        Some("'by' was unexpected")
    )]
    #[case("GET", "/things/a", 200, JSON, "ok", Some("not JSON"))]
    #[case("GET", "/things/all", 200, JSON, GOOD, Some("\"array\""))]
    #[case("GET", "/things/a", 204, None, "x", Some("no body"))]
    #[case("GET", "/none", 200, JSON, "{}", Some("address or method"))]
    #[case("GET", "/none", 404, PROBLEM, "{}", Some("address or method"))]
    #[case("PUT", "/things/a", 200, JSON, GOOD, Some("address or method"))]
    fn an_answer_that_the_document_does_not_have_is_told(
        #[case] method: &str,
        #[case] path: &str,
        #[case] status: u16,
        #[case] content_type: Option<&str>,
        #[case] body: &str,
        #[case] fault: Option<&str>,
    ) {
        let answered = Answered {
            method,
            path,
            status,
            content_type,
            body,
        };
        let found = check(&DOCUMENT, answered);
        match fault {
            None => assert_eq!(found, Ok(())),
            Some(fault) => {
                let found = found.unwrap_err();
                assert!(found.contains(fault), "{found}");
            }
        }
    }
}
