//! An event: one person signed in or out.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, FixedOffset};
use mis_core::{EventKind, PersonKind};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::text::clip;

/// One person signed in or out.
///
/// `Debug` does not show the answers: they are a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The sign-in system's own id of the event, unique within the school. Never blank.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// Who it was, by the id that the sign-in system uses. Never blank.
    #[serde(deserialize_with = "person")]
    pub person: String,
    /// Student, staff or parent, where the id alone does not say: ids are unique among people of one kind only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_of_person: Option<PersonKind>,
    /// In or out.
    pub kind: EventKind,
    /// When it was: RFC 3339 with an offset from UTC, so that it is one instant and no guess.
    #[serde(deserialize_with = "at")]
    pub at: DateTime<FixedOffset>,
    /// What was answered: field name to the text of the option. A blank answer is no answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// A system made the event by itself, for instance at closing time.
    #[serde(default, skip_serializing_if = "is_false")]
    pub automatic: bool,
    /// The person was not on site.
    #[serde(default, skip_serializing_if = "is_false")]
    pub remote: bool,
}

impl Event {
    /// The answer to a field, trimmed; `None` where it was not asked, not answered or answered with blanks.
    pub fn answer(&self, field: &str) -> Option<&str> {
        let field = field.trim();
        self.answers
            .iter()
            .find(|(name, answer)| name.trim() == field && !answer.trim().is_empty())
            .map(|(_, answer)| answer.trim())
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
        let what = if lacks_only_the_offset(&text) { "has no offset from UTC" } else { "is no RFC 3339 time" };
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
    #[case("2026-11-23T09:07", "is no RFC 3339 time")]
    #[case("2026-11-23T09:07:12+0000", "is no RFC 3339 time")]
    #[case("2026-02-30T09:07:12Z", "is no RFC 3339 time")]
    #[case("09:07", "is no RFC 3339 time")]
    #[case("", "is no RFC 3339 time")]
    fn any_other_is_an_error_that_names_at(#[case] at: &str, #[case] what: &str) {
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
    fn what_is_wrong_is_named(#[case] json: &str, #[case] named: &str) {
        let error = serde_json::from_str::<Event>(json).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
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
