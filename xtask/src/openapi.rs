//! The API's OpenAPI document: version 3.1 as the service has it, and a 3.0 form for generators that know only that.
//!
//! An example of `markback-http` prints the document, so that this program does not link the service.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::tree::{Files, Tree, output};

/// Builds the API and returns both documents as files.
pub(crate) fn files(tree: &Tree) -> Result<Files> {
    let mut cargo = tree.cargo();
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "markback-http",
        "--example",
        "openapi",
    ]);
    let text = output(&mut cargo)
        .context("the API could not be described; fix the errors above and run again")?;
    let document: Value =
        serde_json::from_str(&text).context("the API's document could not be read")?;
    Ok(Files::from([
        (
            PathBuf::from("docs/openapi.json"),
            format!("{document:#}\n"),
        ),
        (
            PathBuf::from("docs/openapi-3.0.json"),
            format!("{:#}\n", in_3_0(document)),
        ),
    ]))
}

/// The document in the form of OpenAPI 3.0, whose schemas are older than JSON Schema 2020-12.
fn in_3_0(mut document: Value) -> Value {
    document["openapi"] = "3.0.3".into();
    walk(&mut document, false);
    document
}

/// Converts schemas, and passes over everything else. `is_schema` tells which of the two the value is.
fn walk(value: &mut Value, is_schema: bool) {
    match value {
        Value::Object(fields) if is_schema => convert(fields),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("schema", value) => walk(value, true),
                    // `components.schemas`, a map of schemas.
                    ("schemas", Value::Object(schemas)) => {
                        schemas.values_mut().for_each(|value| walk(value, true))
                    }
                    ("example" | "examples", _) => {}
                    ("security", Value::Array(required)) => without_scopes(required),
                    (_, value) => walk(value, false),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| walk(value, is_schema)),
        Value::Bool(true) if is_schema => *value = json!({}),
        Value::Bool(false) if is_schema => *value = json!({"not": {}}),
        _ => {}
    }
}

/// In 3.0 only OAuth has scopes.
fn without_scopes(required: &mut [Value]) {
    for schemes in required.iter_mut().filter_map(Value::as_object_mut) {
        schemes.values_mut().for_each(|scopes| *scopes = json!([]));
    }
}

/// Converts one schema and all below it.
fn convert(schema: &mut Map<String, Value>) {
    for name in ["properties", "patternProperties"] {
        if let Some(Value::Object(below)) = schema.get_mut(name) {
            below.values_mut().for_each(|value| walk(value, true));
        }
    }
    for name in ["items", "allOf", "anyOf", "oneOf", "not"] {
        if let Some(below) = schema.get_mut(name) {
            walk(below, true);
        }
    }
    // Whether there may be more properties stays true or false.
    if let Some(below @ Value::Object(_)) = schema.get_mut("additionalProperties") {
        walk(below, true);
    }
    const_as_enum(schema);
    first_example(schema);
    exclusive_bounds(schema);
    null_as_nullable(schema);
    wrapped_reference(schema);
    // Generators cannot make such a default of a type that is declared elsewhere.
    if schema.get("default").is_some_and(Value::is_object) {
        schema.remove("default");
    }
    // Words of JSON Schema that 3.0 does not have, and that only narrow.
    for name in [
        "$schema",
        "$defs",
        "propertyNames",
        "patternProperties",
        "unevaluatedProperties",
    ] {
        schema.remove(name);
    }
}

fn const_as_enum(schema: &mut Map<String, Value>) {
    if let Some(only) = schema.remove("const") {
        schema.insert("enum".to_owned(), json!([only]));
    }
}

fn first_example(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(examples)) = schema.remove("examples")
        && let Some(first) = examples.into_iter().next()
    {
        schema.insert("example".to_owned(), first);
    }
}

fn exclusive_bounds(schema: &mut Map<String, Value>) {
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        if let Some(limit @ Value::Number(_)) = schema.get(exclusive).cloned() {
            schema.insert(bound.to_owned(), limit);
            schema.insert(exclusive.to_owned(), true.into());
        }
    }
}

/// `null` is no type in 3.0, but a property of the schema.
fn null_as_nullable(schema: &mut Map<String, Value>) {
    let mut nullable = false;
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        let before = types.len();
        types.retain(|one| one != "null");
        nullable |= types.len() < before;
        match types.as_slice() {
            [one] => {
                let one = one.clone();
                schema.insert("type".to_owned(), one);
            }
            _ => {
                let each: Vec<_> = types.iter().map(|one| json!({"type": one})).collect();
                schema.remove("type");
                schema.insert("anyOf".to_owned(), each.into());
            }
        }
    }
    for name in ["anyOf", "oneOf"] {
        let Some(Value::Array(choices)) = schema.get_mut(name) else {
            continue;
        };
        let before = choices.len();
        choices.retain(|choice| choice["type"] != "null");
        nullable |= choices.len() < before;
        if let [_] = choices.as_slice() {
            let only = schema.remove(name);
            schema.insert("allOf".to_owned(), only.unwrap_or_default());
        }
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        nullable |= values.contains(&Value::Null);
    }
    if nullable {
        schema.insert("nullable".to_owned(), true.into());
    }
}

/// In 3.0 nothing beside a `$ref` counts.
fn wrapped_reference(schema: &mut Map<String, Value>) {
    if schema.len() > 1
        && let Some(reference) = schema.remove("$ref")
    {
        schema.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(schema: Value) -> Value {
        let document = json!({"openapi": "3.1.0", "components": {"schemas": {"One": schema}}});
        in_3_0(document)["components"]["schemas"]["One"].clone()
    }

    #[test]
    fn each_word_of_3_1_has_its_form_in_3_0() {
        let table = [
            (
                json!({"type": ["string", "null"]}),
                json!({"type": "string", "nullable": true}),
            ),
            (
                json!({"type": ["string", "integer"]}),
                json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
            ),
            (
                json!({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]}),
                json!({"allOf": [{"$ref": "#/a"}], "nullable": true}),
            ),
            (
                json!({"oneOf": [{"const": "a"}, {"type": "integer"}]}),
                json!({"oneOf": [{"enum": ["a"]}, {"type": "integer"}]}),
            ),
            (json!({"examples": [1, 2]}), json!({"example": 1})),
            (
                json!({"exclusiveMinimum": 0}),
                json!({"minimum": 0, "exclusiveMinimum": true}),
            ),
            (
                json!({"$ref": "#/a", "description": "d"}),
                json!({"allOf": [{"$ref": "#/a"}], "description": "d"}),
            ),
            (json!({"$ref": "#/a"}), json!({"$ref": "#/a"})),
            (
                json!({"properties": {"type": {"type": ["null", "integer"]}}, "additionalProperties": false}),
                json!({"properties": {"type": {"type": "integer", "nullable": true}}, "additionalProperties": false}),
            ),
            (
                json!({"additionalProperties": {"const": 1}}),
                json!({"additionalProperties": {"enum": [1]}}),
            ),
            (json!({"items": true}), json!({"items": {}})),
            (
                json!({"$ref": "#/a", "default": {}}),
                json!({"allOf": [{"$ref": "#/a"}]}),
            ),
            (
                json!({"type": "string", "default": "a"}),
                json!({"type": "string", "default": "a"}),
            ),
            (
                json!({"enum": ["a", null]}),
                json!({"enum": ["a", null], "nullable": true}),
            ),
        ];
        for (schema, expected) in table {
            assert_eq!(converted(schema.clone()), expected, "{schema}");
        }
    }

    #[test]
    fn a_key_has_no_scopes() {
        let document = json!({"paths": {"/a": {"get": {"security": [{"key": ["admin"]}]}}}});
        assert_eq!(
            in_3_0(document)["paths"]["/a"]["get"]["security"],
            json!([{"key": []}])
        );
    }

    #[test]
    fn examples_of_bodies_are_left_alone() {
        let media = json!({"schema": {"type": ["string", "null"]}, "example": {"const": 1, "schema": {"const": 2}}});
        let document = json!({"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {"200": {"content": {"application/json": media}}}}}}});
        let media = in_3_0(document)["paths"]["/a"]["get"]["responses"]["200"]["content"]["application/json"].clone();
        assert_eq!(
            media,
            json!({"schema": {"type": "string", "nullable": true}, "example": {"const": 1, "schema": {"const": 2}}})
        );
    }
}
