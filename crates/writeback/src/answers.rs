//! Checks an event's answers against the group's custom fields, before the event is accepted.

use std::fmt;

use mis_core::EventKind;
use serde::Serialize;

use crate::{
    event::Event,
    settings::Field,
    text::{clip, plain, quoted},
};

/// An answer that the group's fields do not allow.
///
/// `Display` and `Debug` do not show the answer: a child's text belongs in the response to the sender (`value`), not in
/// a log.
#[derive(Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{key}: {message}; {help}")]
pub struct AnswerProblem {
    /// The key in the event: `answers.<field>`.
    pub key: String,
    /// The given answer, clipped to 80 characters; `None` if the field itself is wrong.
    pub value: Option<String>,
    /// The problem.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl fmt::Debug for AnswerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the problems of an event's answers, sorted by field name.
///
/// Each answer must name a field that the group has for this kind of event, and be one of its options. Surrounding
/// blanks and the Unicode form do not matter, and blank answers are ignored.
pub fn check_answers(event: &Event, fields: &[Field]) -> Vec<AnswerProblem> {
    event
        .answers
        .iter()
        .filter_map(|(name, answer)| check_answer(event.kind, name, answer, fields))
        .collect()
}

fn check_answer(
    kind: EventKind,
    name: &str,
    answer: &str,
    fields: &[Field],
) -> Option<AnswerProblem> {
    let key = format!("answers.{}", clip(name, 80));
    let (name, answer) = (plain(name), plain(answer));
    let named = |field: &&Field| plain(&field.name) == name;
    let Some(field) = fields.iter().filter(named).find(|field| field.on == kind) else {
        let message = match fields.iter().find(named) {
            Some(field) => format!(
                "this field is asked at a {}, and the event is a {kind}",
                field.on
            ),
            None => "the person's group has no such field".to_owned(),
        };
        let there = fields
            .iter()
            .filter(|field| field.on == kind)
            .map(|field| field.name.trim());
        let help = match quoted(there) {
            none if none.is_empty() => format!("leave it out: nothing is asked at a {kind}"),
            some => format!("leave it out, or answer one of {some}"),
        };
        return Some(AnswerProblem {
            key,
            value: None,
            message,
            help,
        });
    };
    if answer.is_empty()
        || field
            .options
            .iter()
            .any(|option| plain(&option.text) == answer)
    {
        return None;
    }
    Some(AnswerProblem {
        key,
        value: Some(clip(&answer, 80)),
        message: "the answer is not an option of this field".to_owned(),
        help: format!(
            "answer one of {}",
            quoted(field.options.iter().map(|option| option.text.trim()))
        ),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    const FIELDS: &str = r#"
        [[field]]
        name = "Reason for being late"
        on = "sign_in"
        options = ["Bus", { text = "Missed the bus", code = "L" }]

        [[field]]
        name = "Reason for leaving"
        on = "sign_out"
        options = ["M - Dentist"]

        [[field]]
        name = "Pourquoi et\u00e9"
        on = "sign_in"
        options = ["Cafe\u0301"]
    "#;

    #[derive(Deserialize)]
    struct GroupContext {
        field: Vec<Field>,
    }

    fn problems(kind: &str, name: &str, answer: &str) -> Vec<AnswerProblem> {
        let event: Event = serde_json::from_value(serde_json::json!({
            "id": "e1", "person": "A1", "kind": kind, "at": "2026-11-23T09:07:12Z", "answers": {name: answer},
        }))
        .unwrap();
        check_answers(
            &event,
            &toml::from_str::<GroupContext>(FIELDS).unwrap().field,
        )
    }

    #[rstest]
    #[case("sign_in", "Reason for being late", "Bus")]
    #[case("sign_in", " Reason for being late ", " Missed the bus ")]
    #[case("sign_in", "Reason for being late", "  ")]
    #[case("sign_in", "Pourquo\u{69} ete\u{301}", "Cafe\u{301}")]
    #[case("sign_in", "Pourquoi et\u{e9}", "Caf\u{e9}")]
    #[case("sign_out", "Reason for leaving", "M - Dentist")]
    fn options_of_a_field_are_valid_answers(
        #[case] kind: &str,
        #[case] name: &str,
        #[case] answer: &str,
    ) {
        assert_eq!(problems(kind, name, answer), []);
    }

    #[rstest]
    #[case(
        "sign_in",
        "Reason",
        "Bus",
        "no such field",
        "\"Reason for being late\""
    )]
    #[case(
        "sign_out",
        "Reason for being late",
        "Bus",
        "asked at a sign_in",
        "\"Reason for leaving\""
    )]
    #[case(
        "sign_in",
        "Reason for being late",
        "bus",
        "not an option",
        "\"Bus\", \"Missed the bus\""
    )]
    fn other_answers_are_problems_with_field_and_help(
        #[case] kind: &str,
        #[case] name: &str,
        #[case] answer: &str,
        #[case] message: &str,
        #[case] help: &str,
    ) {
        let found = problems(kind, name, answer);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key, format!("answers.{name}"));
        assert!(
            found[0].message.contains(message) && found[0].help.contains(help),
            "{found:?}"
        );
    }

    #[test]
    fn display_and_debug_do_not_show_the_answer() {
        let found = problems("sign_in", "Reason for being late", "my mother is ill");
        assert_eq!(found[0].value.as_deref(), Some("my mother is ill"));
        assert!(!format!("{found:?}{}", found[0]).contains("mother"));
    }
}
