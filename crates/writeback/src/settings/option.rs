//! An option of a custom field: a text, or a table that states the code explicitly.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One possible answer: a text, or a table `{ text, code, write }`.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldOption {
    /// The answer.
    pub text: String,
    /// The explicit code of the answer; `None` if it is read from the text.
    pub code: Option<OptionCode>,
    /// Whether an event with this answer may write into the register.
    pub write: bool,
}

/// The explicit code of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionCode {
    /// This code, whatever the text looks like (`code = "L"`).
    Code(String),
    /// Never a code, even if the text looks like one (`code = false`).
    Never,
}

impl From<&str> for FieldOption {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            code: None,
            write: true,
        }
    }
}

impl fmt::Debug for FieldOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self {
                text,
                code: None,
                write: true,
            } => fmt::Debug::fmt(text, f),
            Self { text, code, write } => f
                .debug_struct("FieldOption")
                .field("text", text)
                .field("code", code)
                .field("write", write)
                .finish(),
        }
    }
}

/// The long form.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OptionTable {
    /// The answer.
    text: String,
    /// The code of the answer, or `false` if the answer is never a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<CodeOrFalse>")]
    code: Option<OptionCode>,
    /// Whether an event with this answer may write into the register.
    #[serde(default = "yes")]
    write: bool,
}

fn yes() -> bool {
    true
}

/// Both forms, for the JSON schema.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "FieldOption")]
#[allow(dead_code, reason = "describes the settings to schemars")]
enum TextOrTable {
    /// A text. In a field with codes, `CODE - reason` is read as a code.
    Text(String),
    /// A table that states the code explicitly.
    Table(OptionTable),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes the settings to schemars")]
enum CodeOrFalse {
    /// The code.
    Code(String),
    /// `false`: the answer is never a code.
    Never(#[schemars(extend("const" = false))] bool),
}

impl JsonSchema for FieldOption {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        TextOrTable::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        TextOrTable::json_schema(generator)
    }
}

impl Serialize for FieldOption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self {
                text,
                code: None,
                write: true,
            } => serializer.serialize_str(text),
            Self { text, code, write } => OptionTable {
                text: text.clone(),
                code: code.clone(),
                write: *write,
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FieldOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OptionVisitor)
    }
}

struct OptionVisitor;

impl<'de> de::Visitor<'de> for OptionVisitor {
    type Value = FieldOption;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an option: a text, or a table such as { text = \"Missed the bus\", code = \"L\" }",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<FieldOption, E> {
        Ok(text.into())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FieldOption, A::Error> {
        let OptionTable { text, code, write } =
            Deserialize::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(FieldOption { text, code, write })
    }
}

impl Serialize for OptionCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Code(code) => serializer.serialize_str(code),
            Self::Never => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for OptionCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CodeVisitor)
    }
}

struct CodeVisitor;

impl de::Visitor<'_> for CodeVisitor {
    type Value = OptionCode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a code such as \"L\", or false for an answer that is never a code")
    }

    fn visit_str<E: de::Error>(self, code: &str) -> Result<OptionCode, E> {
        Ok(OptionCode::Code(code.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<OptionCode, E> {
        if flag {
            Err(E::invalid_value(de::Unexpected::Bool(true), &self))
        } else {
            Ok(OptionCode::Never)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Options {
        options: Vec<FieldOption>,
    }

    #[test]
    fn both_forms_are_read_and_written_back() {
        let text = r#"options = ["Bus", { text = "Missed the bus", code = "L" }, { text = "E-scooter broke down", code = false }, { text = "Sent on an errand", write = false }]"#;
        let read: Options = toml::from_str(text).unwrap();
        assert_eq!(
            read.options,
            [
                "Bus".into(),
                FieldOption {
                    code: Some(OptionCode::Code("L".into())),
                    ..FieldOption::from("Missed the bus")
                },
                FieldOption {
                    code: Some(OptionCode::Never),
                    ..FieldOption::from("E-scooter broke down")
                },
                FieldOption {
                    write: false,
                    ..FieldOption::from("Sent on an errand")
                },
            ]
        );
        assert_eq!(
            toml::from_str::<Options>(&toml::to_string(&read).unwrap()).unwrap(),
            read
        );
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), read);
    }

    #[rstest]
    #[case("options = [7]", "an option: a text, or a table")]
    #[case(
        "options = [{ text = 'x', code = true }]",
        "or false for an answer that is never a code"
    )]
    #[case("options = [{ text = 'x', code = 7 }]", "a code such as \"L\"")]
    #[case("options = [{ text = 'x', cod = 'L' }]", "unknown field `cod`")]
    #[case("options = [{ code = 'L' }]", "missing field `text`")]
    fn anything_else_is_an_error(#[case] text: &str, #[case] what: &str) {
        let error = toml::from_str::<Options>(text).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}
