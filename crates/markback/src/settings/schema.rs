//! The JSON Schema of the settings file.

use schemars::{Schema, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{
    file::{SchoolFile, TemplateFile},
    service::Service,
};

/// The JSON Schema of the settings file, for editors and authors.
pub fn schema() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schools = generator.subschema_for::<Vec<SchoolFile>>();
    let templates = generator.subschema_for::<Vec<TemplateFile>>();
    let mut schema = generator.into_root_schema_for::<Service>();
    schema.insert("title".to_owned(), json!("The settings of Markback"));
    let says = "A TOML file. Durations are texts: \"500ms\", \"5m\", \"4h\", \"7d\"; times of day are in the school's time zone: \"09:00\".";
    schema.insert("description".to_owned(), json!(says));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, list, says) in [
            ("school", schools, "The schools, each as a `[[school]]`."),
            (
                "template",
                templates,
                "Settings that several schools share, each as a `[[template]]`.",
            ),
        ] {
            let mut list = list.to_value();
            if let Value::Object(list) = &mut list {
                list.insert("description".to_owned(), json!(says));
            }
            properties.insert(name.to_owned(), list);
        }
    }
    schema
}
