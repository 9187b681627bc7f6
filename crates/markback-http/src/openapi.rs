//! The OpenAPI document of the API, made from the handlers.
//!
//! A handler has `#[utoipa::path]`, and is added by `routes!`. It states what is its own: its summary, parameters, bodies
//! and the errors that are particular to it. What holds for many is added here: the key, the parameters of the path, and
//! the errors that any address may answer. Types are described by `schemars::JsonSchema`, as those of the settings are;
//! [`ResponseBody`] and [`RequestBody`] hand the descriptions to utoipa.

use std::{borrow::Cow, fmt::Write as _, marker::PhantomData, sync::LazyLock};

use axum::http::StatusCode;
use schemars::{
    JsonSchema,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Info, ObjectBuilder, OpenApi, Paths, RefOr, extensions::Extensions, schema::Schema},
};

use super::{
    error::{Kind, PROBLEM_JSON, ProblemDetails},
    key::needed,
};

/// Where a description by schemars travels in utoipa's, which does not have all of JSON Schema's words.
const EXTENSION: &str = "x-schema";
/// Where the schemas are in the document.
const SCHEMAS: &str = "/components/schemas";
/// The name of the key in the document.
const KEY: &str = "key";

/// The description of a type as it is in a response.
pub(crate) struct ResponseBody<T>(PhantomData<T>);

/// The description of a type as it may be in a request.
pub(crate) struct RequestBody<T>(PhantomData<T>);

/// The body of an error response.
pub(crate) type ProblemBody = ResponseBody<ProblemDetails>;

impl<T: JsonSchema> PartialSchema for ResponseBody<T> {
    fn schema() -> RefOr<Schema> {
        own::<T>(Contract::Serialize)
    }
}

impl<T: JsonSchema> ToSchema for ResponseBody<T> {
    fn name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(definitions::<T>(Contract::Serialize));
    }
}

impl<T: JsonSchema> PartialSchema for RequestBody<T> {
    fn schema() -> RefOr<Schema> {
        own::<T>(Contract::Deserialize)
    }
}

impl<T: JsonSchema> ToSchema for RequestBody<T> {
    fn name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(definitions::<T>(Contract::Deserialize));
    }
}

/// The description of the type itself.
fn own<T: JsonSchema>(contract: Contract) -> RefOr<Schema> {
    let name = T::schema_name();
    definitions::<T>(contract)
        .find_map(|(other, schema)| (other == name).then_some(schema))
        .unwrap_or_default()
}

/// The descriptions of the type and of all that it refers to.
fn definitions<T: JsonSchema>(
    contract: Contract,
) -> impl Iterator<Item = (String, RefOr<Schema>)> + use<T> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.contract = contract;
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<T>();
    let definitions = generator.take_definitions(true);
    definitions.into_iter().map(|(name, schema)| {
        let kept = Extensions::from_iter([(EXTENSION, schema)]);
        let carrier = ObjectBuilder::new().extensions(Some(kept)).build();
        (name, RefOr::T(Schema::Object(carrier)))
    })
}

/// The OpenAPI 3.1 document of all that the service answers.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let guarded = part(crate::guarded().into_openapi(), true);
        let open = part(
            crate::open(crate::webhooks::WebhookSecret::none()).into_openapi(),
            false,
        );
        put_together([guarded, open])
    });
    &DOCUMENT
}

/// Paths and schemas of some routes.
struct Part {
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
}

fn part(described: OpenApi, guarded: bool) -> Part {
    let mut document = serde_json::to_value(described).unwrap_or_default();
    let mut take = |pointer: &str| match document.pointer_mut(pointer).map(Value::take) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (mut paths, schemas) = (take("/paths"), take(SCHEMAS));
    for (path, item) in &mut paths {
        let operations = item.as_object_mut().into_iter().flatten();
        for (method, operation) in operations {
            if let Some(operation) = operation.as_object_mut() {
                complete((method, path), operation, guarded);
            }
        }
    }
    Part { paths, schemas }
}

/// Adds what the operation has in common with others.
fn complete((method, path): (&str, &str), operation: &mut Map<String, Value>, guarded: bool) {
    let names: Vec<_> = path.split('/').filter_map(parameter_in).collect();
    let parameters = names.iter().map(|name| {
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": about_parameter(name),
            "schema": match *name {
                "number" => json!({"type": "integer", "minimum": 1, "maximum": u32::MAX}),
                _ => json!({"type": "string", "minLength": 1}),
            },
        })
    });
    let mut all: Vec<_> = parameters.collect();
    if let Some(Value::Array(own)) = operation.remove("parameters") {
        all.extend(own);
    }
    let queried = all.len() > names.len();
    if !all.is_empty() {
        operation.insert("parameters".to_owned(), all.into());
    }
    let sends = operation.contains_key("requestBody");
    let mut kinds = vec![Kind::Internal, Kind::Unavailable, Kind::TimedOut];
    if guarded {
        kinds.extend([Kind::Unauthorised, Kind::Forbidden, Kind::TooManyRequests]);
        let scope = needed(method, path);
        operation.insert("security".to_owned(), json!([{KEY: [scope.as_str()]}]));
    }
    if !names.is_empty() {
        kinds.extend([Kind::NotFound, Kind::InvalidAddress]);
    }
    if sends {
        kinds.extend([Kind::InvalidJson, Kind::TooLarge]);
    }
    if sends || queried {
        kinds.push(Kind::InvalidInput);
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    if let Some(responses) = responses.as_object_mut() {
        for kind in kinds {
            let status = kind.about().status;
            let shared = json!({"$ref": format!("#/components/responses/{}", status.as_u16())});
            responses.entry(status.as_str()).or_insert(shared);
        }
    }
}

/// The name in a segment `{name}`.
fn parameter_in(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// What a parameter of a path is.
fn about_parameter(name: &str) -> &'static str {
    match name {
        "school" => "The school's id at Wonde.",
        "event" => "The event's id, which the sign-in system gave.",
        "group" => "The group's name in the settings.",
        "sync" => "The sync's id.",
        "endpoint" => "The id of the webhook endpoint.",
        "key" => "The key's id, which is its public part.",
        "template" => "The template's name.",
        "cause" => "The id of a cause, from the list of problems.",
        "action" => {
            "What to do to the events of the cause: `retry`, `discard`, `release` or `drop`."
        }
        "number" => "The number of a version, from 1.",
        "secret" => "The secret of the webhooks' address, which the settings name.",
        "kind" => "The end of a problem's `type`.",
        _ => "",
    }
}

/// Error responses that many operations share, by status. A status may stand for several kinds.
fn shared_responses() -> Map<String, Value> {
    let mut responses = Map::new();
    for kind in Kind::ALL {
        let about = kind.about();
        let response = responses.entry(about.status.as_str()).or_insert_with(|| {
            let schema = json!({"$ref": "#/components/schemas/ProblemDetails"});
            let mut response = json!({
                "description": "",
                "content": {PROBLEM_JSON: {"schema": schema}},
            });
            if [
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::TOO_MANY_REQUESTS,
            ]
            .contains(&about.status)
            {
                response["headers"] = json!({"Retry-After": {
                    "description": "After how many seconds to send the request again.",
                    "schema": {"type": "integer", "minimum": 0},
                }});
            }
            response
        });
        let described = response["description"].as_str().unwrap_or_default();
        let line = format!("{}: `{}`. {}", about.title, kind.uri(), about.help);
        response["description"] = match described {
            "" => line.into(),
            before => format!("{before}\n\n{line}").into(),
        };
    }
    responses
}

fn put_together(parts: impl IntoIterator<Item = Part>) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for part in parts {
        paths.extend(part.paths);
        schemas.extend(part.schemas);
    }
    let info = Info::builder()
        .title("Markback")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .build();
    let mut document = serde_json::to_value(OpenApi::new(info, Paths::new())).unwrap_or_default();
    schemas.extend(
        definitions::<ProblemDetails>(Contract::Serialize)
            .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())),
    );
    for schema in schemas.values_mut() {
        if let Some(carried) = schema.get_mut(EXTENSION) {
            *schema = carried.take();
        }
        tidy(schema);
    }
    document["paths"] = paths.into();
    document["components"] = json!({
        "schemas": schemas,
        "responses": shared_responses(),
        "securitySchemes": {KEY: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of the service, in the header `Authorization: Bearer`. Each operation needs the scope that \
                its `security` names; `admin` includes all.",
        }},
    });
    document
}

/// Leaves the names in descriptions without the brackets that make links of them in Rust's documentation, and makes enums
/// of described constants.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`");
            }
            fields.values_mut().for_each(tidy);
            choice_as_enum(fields);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A choice of described constants is an enum whose description describes them, which every generator can make a type of.
fn choice_as_enum(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else {
        return;
    };
    // With `const` there is one value, with `enum` there are those that have no description of their own.
    let values = |choice: &Value| match (&choice["const"], &choice["enum"]) {
        (Value::String(one), _) => Some(vec![one.clone()]),
        (_, Value::Array(several)) => several
            .iter()
            .map(|one| Some(one.as_str()?.to_owned()))
            .collect(),
        _ => None,
    };
    let Some(values) = choices.iter().map(values).collect::<Option<Vec<_>>>() else {
        return;
    };
    let mut description = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for (value, choice) in values.iter().zip(choices) {
        if let Some(text) = choice["description"].as_str() {
            let _ = write!(description, "\n\n`{}`: {text}", value.join("`, `"));
        }
    }
    let description = description.trim_start().to_owned();
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), values.concat().into());
    if !description.is_empty() {
        schema.insert("description".to_owned(), description.into());
    }
}

const ABOUT: &str = "Markback writes attendance from a sign-in system into a school's MIS.\n\n\
    Send sign-ins and sign-outs as events; read what became of each, and the groups of people that the school's MIS \
    has. Errors are problem details as in RFC 9457: see `/problems`.";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
        let paths = document()["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            let item = item.as_object().unwrap();
            item.iter()
                .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    found.insert(to.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let mut found = BTreeSet::new();
        references(document(), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            let there = document().pointer(pointer);
            assert!(
                there.is_some_and(|there| there != &json!({})),
                "{reference}"
            );
        }
    }

    #[test]
    fn every_operation_says_what_it_does_and_what_its_parameters_are() {
        let mut ids = BTreeSet::new();
        for (path, method, operation) in operations() {
            for key in ["operationId", "summary"] {
                let text = operation[key].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{method} {path} has no {key}");
            }
            assert!(
                ids.insert(operation["operationId"].as_str()),
                "{method} {path} has the id of another"
            );
            assert!(operation["tags"].is_array(), "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let about = parameter["description"].as_str().unwrap_or_default();
                assert!(!about.is_empty(), "{method} {path}: {parameter}");
            }
        }
    }

    #[test]
    fn a_key_is_needed_below_v1_and_nowhere_else() {
        for (path, method, operation) in operations() {
            let guarded = operation.get("security").is_some();
            assert_eq!(guarded, path.starts_with("/v1/"), "{method} {path}");
            assert_eq!(
                guarded,
                operation["responses"].get("401").is_some(),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn described_constants_are_an_enum() {
        let mut schema = json!({"description": "See [`A`].", "oneOf": [
            {"const": "a", "description": "one"}, {"enum": ["b", "c"], "type": "string"},
        ]});
        tidy(&mut schema);
        let expected = json!({"description": "See `A`.\n\n`a`: one", "type": "string", "enum": ["a", "b", "c"]});
        assert_eq!(schema, expected);
        let mut other = json!({"oneOf": [{"const": "a"}, {"type": "integer"}]});
        let before = other.clone();
        tidy(&mut other);
        assert_eq!(other, before);
        assert_eq!(
            document()["components"]["schemas"]["EventKind"]["enum"],
            json!(["sign_in", "sign_out"])
        );
    }

    /// A type that is both sent and received has one description, or one of them would be lost.
    #[test]
    fn no_two_types_share_a_name() {
        let parts = [
            crate::guarded().into_openapi(),
            crate::open(crate::webhooks::WebhookSecret::none()).into_openapi(),
        ];
        let [one, other] = parts.map(|described| part(described, false).schemas);
        for (name, schema) in &one {
            assert!(
                other.get(name).is_none_or(|other| other == schema),
                "{name}"
            );
        }
        let both =
            |contract| definitions::<writeback::Event>(contract).find(|(name, _)| name == "Event");
        let [sent, received] = [Contract::Deserialize, Contract::Serialize].map(both);
        let json = |found: Option<(String, RefOr<Schema>)>| {
            serde_json::to_value(found.unwrap().1).unwrap()
        };
        assert_eq!(json(sent), json(received));
    }
}
