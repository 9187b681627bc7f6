//! What is wrong with an event that cannot be read: all of it, where decoding stops at the first thing.

use serde_json::{Value, json};
use writeback::Event;

use super::intake::InputProblem;
use crate::settings::nearest;

/// Things wrong with one event that are told at most.
const TOLD_MAX: usize = 20;

type Fault = serde_path_to_error::Error<serde_json::Error>;

/// Everything that keeps this from being an event. Each fault is mended in a copy, so that the next one shows.
pub(super) fn problems(place: usize, value: &Value) -> Vec<InputProblem> {
    let mut rest = value.clone();
    let mut problems: Vec<InputProblem> = Vec::new();
    while problems.len() < TOLD_MAX
        && let Err(fault) = serde_path_to_error::deserialize::<_, Event>(&rest)
    {
        let field = field(&fault);
        let problem = problem(place, field.as_deref(), &fault);
        let again = problems.iter().any(|known| known.key == problem.key);
        if !again {
            problems.push(problem);
        }
        if again || !mend(&mut rest, field.as_deref()) {
            break;
        }
    }
    problems
}

/// The field of the event that the fault is about.
fn field(fault: &Fault) -> Option<String> {
    let words = fault.inner().to_string();
    for begin in ["missing field `", "unknown field `"] {
        if let Some((name, _)) = words
            .strip_prefix(begin)
            .and_then(|rest| rest.split_once('`'))
        {
            return Some(name.to_owned());
        }
    }
    fault.path().iter().find_map(|segment| match segment {
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        _ => None,
    })
}

/// Puts something readable in the field's place.
fn mend(event: &mut Value, field: Option<&str>) -> bool {
    let (Value::Object(fields), Some(field)) = (event, field) else {
        return false;
    };
    let good = match field {
        "id" | "person" => json!("x"),
        "kind" => json!("sign_in"),
        "at" => json!("2026-11-23T09:07:12Z"),
        "answers" => json!({}),
        other => return fields.remove(other).is_some(),
    };
    fields.insert(field.to_owned(), good);
    true
}

fn problem(place: usize, field: Option<&str>, fault: &Fault) -> InputProblem {
    let words = fault.inner().to_string();
    let path = fault.path().to_string();
    let missing_or_unknown =
        words.starts_with("missing field") || words.starts_with("unknown field");
    let key = match (field, path.as_str()) {
        (Some(field), _) if missing_or_unknown => format!("[{place}].{field}"),
        (_, ".") => format!("[{place}]"),
        (_, path) => format!("[{place}].{path}"),
    };
    let what = if path.starts_with("answers") {
        // The decoder would repeat the answer, which may be a child's own words.
        "answers are an object of texts: field name to the text of the option".to_owned()
    } else if words.starts_with("missing field") {
        "it is missing".to_owned()
    } else if words.starts_with("unknown field") {
        "an event has no such field".to_owned()
    } else {
        words
    };
    let meant = field
        .filter(|_| what == "an event has no such field")
        .and_then(|field| nearest(field, FIELDS));
    InputProblem {
        key,
        value: None,
        what,
        cure: match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => r#"send {"id", "person", "kind": "sign_in" | "sign_out", "at": "2026-11-23T09:07:12Z", "answers": {}}"#
                .to_owned(),
        },
    }
}

/// What an event may have, for whoever mistypes one.
const FIELDS: [&str; 7] = [
    "id",
    "person",
    "kind",
    "at",
    "answers",
    "automatic",
    "remote",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(event: Value) -> Vec<String> {
        let found = problems(3, &event);
        found.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn all_that_is_wrong_with_an_event_is_told() {
        let event = json!({"id": 5, "persn": "A1", "kind": "in", "at": "noon", "answers": {"Why": 3}, "colour": 1});
        let mut found = keys(event);
        found.sort();
        let wrong = [
            "answers.Why",
            "at",
            "colour",
            "id",
            "kind",
            "persn",
            "person",
        ];
        assert_eq!(found, wrong.map(|key| format!("[3].{key}")));
        assert_eq!(keys(json!("text")), ["[3]"]);
        assert!(
            keys(
                json!({"id": "e", "person": "p", "kind": "sign_in", "at": "2026-11-23T09:07:12Z"})
            )
            .is_empty()
        );
    }

    #[test]
    fn a_mistyped_field_finds_its_name() {
        let found = problems(0, &json!({"persn": "A1"}));
        assert!(
            found
                .iter()
                .any(|problem| problem.cure.contains("`person`")),
            "{found:?}"
        );
    }
}
