//! An event: one person signed in or out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::{DateTime, FixedOffset};
use mis_core::{EventKind, PersonKind};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::text::{clip, plain};

/// One person signed in or out.
///
/// `Debug` does not show the answers, because they are a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "One person signed in or out.")]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The sign-in system's id of the event, unique within the school. Never blank.
    #[serde(deserialize_with = "id")]
    #[schemars(length(min = 1))]
    pub id: String,
    /// The person, by the id that the sign-in system uses. Never blank.
    #[serde(deserialize_with = "person")]
    #[schemars(length(min = 1))]
    pub person: String,
    /// Student, staff or parent, if the id is ambiguous: ids are unique only within one kind of people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_of_person: Option<PersonKind>,
    /// In or out.
    pub kind: EventKind,
    /// The time in RFC 3339 with an offset from UTC.
    #[serde(deserialize_with = "at")]
    pub at: DateTime<FixedOffset>,
    /// The answers: field name to the text of the option. Blank and `null` answers are ignored.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "answers"
    )]
    #[schemars(with = "Option<BTreeMap<String, Option<String>>>")]
    pub answers: BTreeMap<String, String>,
    /// Whether a system created the event automatically, for example at closing time.
    #[serde(
        default,
        skip_serializing_if = "is_false",
        deserialize_with = "or_default"
    )]
    #[schemars(with = "Option<bool>")]
    pub automatic: bool,
    /// Whether the person was off site.
    #[serde(
        default,
        skip_serializing_if = "is_false",
        deserialize_with = "or_default"
    )]
    #[schemars(with = "Option<bool>")]
    pub remote: bool,
}

impl Event {
    /// The trimmed answer to a field, whose name is compared in NFC; `None` if there is no answer or a blank one.
    pub fn answer(&self, field: &str) -> Option<&str> {
        let field = plain(field);
        self.answers
            .iter()
            .find(|(name, answer)| plain(name) == field && !answer.trim().is_empty())
            .map(|(_, answer)| answer.trim())
    }

    /// The canonical form of the event: without the UTC offset of the time, blanks around field names and answers, and
    /// blank answers. Two events with the same content are equal in this form.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let names: BTreeSet<&str> = self.answers.keys().map(|name| name.trim()).collect();
        let answered = |name: &str| Some((name.to_owned(), self.answer(name)?.to_owned()));
        Self {
            at: self.at.to_utc().fixed_offset(),
            answers: names.into_iter().filter_map(answered).collect(),
            ..self.clone()
        }
    }

    /// Whether there is any answer.
    pub(crate) fn answers_something(&self) -> bool {
        self.answers
            .values()
            .any(|answer| !answer.trim().is_empty())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("person", &self.person)
            .field("kind_of_person", &self.kind_of_person)
            .field("kind", &self.kind)
            .field("at", &self.at)
            .field("answers", &format_args!("[{} hidden]", self.answers.len()))
            .field("automatic", &self.automatic)
            .field("remote", &self.remote)
            .finish()
    }
}

// serde hands these over by reference.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    not_blank("id", deserializer)
}

fn person<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    not_blank("person", deserializer)
}

/// `null` in an optional field means that it is absent.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn answers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let answers: BTreeMap<String, Option<String>> = or_default(deserializer)?;
    Ok(answers
        .into_iter()
        .filter_map(|(name, answer)| Some((name, answer?)))
        .collect())
}

fn not_blank<'de, D: Deserializer<'de>>(field: &str, deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(de::Error::custom(format!(
            "`{field}` is blank; give the id that the sign-in system uses"
        )));
    }
    Ok(text)
}

fn at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<FixedOffset>, D::Error> {
    let text = String::deserialize(deserializer)?;
    DateTime::parse_from_rfc3339(&text).map_err(|_| {
        let shown = clip(&text, 40);
        let what = if lacks_only_the_offset(&text) { "has no offset from UTC" } else { "is not an RFC 3339 time" };
        de::Error::custom(format!(
            "`at` = {shown:?} {what}; write the time with its offset, such as 2026-11-23T09:07:12Z or 2026-06-23T09:07:12+01:00"
        ))
    })
}

fn lacks_only_the_offset(text: &str) -> bool {
    DateTime::parse_from_rfc3339(&format!("{text}Z")).is_ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(at: &str) -> Result<Event, serde_json::Error> {
        serde_json::from_value(
            serde_json::json!({"id": "e1", "person": "A1", "kind": "sign_in", "at": at}),
        )
    }

    #[rstest]
    #[case("2026-11-23T09:07:12Z")]
    #[case("2026-06-23T09:07:12+01:00")]
    #[case("2026-11-23T09:07:12.4-05:30")]
    fn a_time_with_offset_is_read(#[case] at: &str) {
        assert_eq!(
            read(at).unwrap().at,
            DateTime::parse_from_rfc3339(at).unwrap()
        );
    }

    #[rstest]
    #[case("2026-11-23T09:07:12", "has no offset")]
    #[case("2026-11-23T09:07", "is not an RFC 3339 time")]
    #[case("2026-11-23T09:07:12+0000", "is not an RFC 3339 time")]
    #[case("2026-02-30T09:07:12Z", "is not an RFC 3339 time")]
    #[case("09:07", "is not an RFC 3339 time")]
    #[case("", "is not an RFC 3339 time")]
    fn other_times_are_errors_that_name_at(#[case] at: &str, #[case] what: &str) {
        let error = read(at).unwrap_err().to_string();
        assert!(
            error.contains("`at` = ") && error.contains(what) && error.contains("write the time"),
            "{error}"
        );
    }

    #[rstest]
    #[case(
        r#"{"id":"e1","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12Z","time":1}"#,
        "time"
    )]
    #[case(
        r#"{"id":" ","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12Z"}"#,
        "`id`"
    )]
    #[case(
        r#"{"id":"e1","person":"","kind":"sign_in","at":"2026-11-23T09:07:12Z"}"#,
        "`person`"
    )]
    #[case(
        r#"{"id":"e1","kind":"sign_in","at":"2026-11-23T09:07:12Z"}"#,
        "`person`"
    )]
    #[case(
        r#"{"id":"e1","person":"A1","kind":"arrived","at":"2026-11-23T09:07:12Z"}"#,
        "`arrived`"
    )]
    fn the_error_names_the_field(#[case] json: &str, #[case] named: &str) {
        let error = serde_json::from_str::<Event>(json).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }

    #[rstest]
    #[case(r#""answers":null"#)]
    #[case(r#""answers":{"Why":null}"#)]
    #[case(r#""automatic":null,"remote":null"#)]
    fn null_in_an_optional_field_is_absence(#[case] field: &str) {
        let json = format!(
            r#"{{"id":"e1","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12Z",{field}}}"#
        );
        let event: Event = serde_json::from_str(&json).unwrap();
        assert_eq!(event, read("2026-11-23T09:07:12Z").unwrap());
    }

    #[rstest]
    #[case("id")]
    #[case("person")]
    #[case("kind")]
    #[case("at")]
    fn null_in_a_required_field_is_an_error(#[case] field: &str) {
        let mut event = serde_json::json!(
            {"id": "e1", "person": "A1", "kind": "sign_in", "at": "2026-11-23T09:07:12Z"}
        );
        event[field] = serde_json::Value::Null;
        assert!(serde_json::from_value::<Event>(event).is_err());
    }

    #[rstest]
    #[case(serde_json::json!({"at": "2026-11-23T10:07:12+01:00"}), true)]
    #[case(serde_json::json!({"at": "2026-11-23T09:07:12.000Z"}), true)]
    #[case(serde_json::json!({"at": "2026-11-23T09:07:13Z"}), false)]
    #[case(serde_json::json!({"answers": {" Why ": "Bus ", "Note": "  "}}), true)]
    #[case(serde_json::json!({"answers": {"Why": "bus"}}), false)]
    #[case(serde_json::json!({"answers": {}}), false)]
    #[case(serde_json::json!({"automatic": false}), true)]
    #[case(serde_json::json!({"automatic": true}), false)]
    #[case(serde_json::json!({"person": "A2"}), false)]
    #[case(serde_json::json!({"kind": "sign_out"}), false)]
    fn the_canonical_form_is_equal_for_equal_contents_only(
        #[case] changed: serde_json::Value,
        #[case] same: bool,
    ) {
        let mut event = serde_json::json!({
            "id": "e1", "person": "A1", "kind": "sign_in", "at": "2026-11-23T09:07:12Z", "answers": {"Why": "Bus"},
        });
        let one: Event = serde_json::from_value(event.clone()).unwrap();
        for (name, value) in changed.as_object().unwrap() {
            event[name] = value.clone();
        }
        let other: Event = serde_json::from_value(event).unwrap();
        assert_eq!(one.canonical() == other.canonical(), same);
        assert_eq!(
            serde_json::to_string(&one.canonical()).unwrap()
                == serde_json::to_string(&other.canonical()).unwrap(),
            same
        );
    }

    #[test]
    fn an_event_is_written_as_it_was_read() {
        let json = r#"{"id":"e1","person":"A1","kind":"sign_out","at":"2026-06-23T15:07:12+01:00","answers":{"Why":"Bus"},"automatic":true}"#;
        let event: Event = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
    }

    #[test]
    fn debug_shows_no_answer() {
        let mut event = read("2026-11-23T09:07:12Z").unwrap();
        event.answers.insert("Why".into(), "overslept again".into());
        assert!(!format!("{event:?}").contains("overslept"));
        assert_eq!(event.answer(" Why "), Some("overslept again"));
    }
}
