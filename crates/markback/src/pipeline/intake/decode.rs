//! All problems of an event that cannot be decoded, although decoding stops at the first.

use serde_json::{Value, json};
use writeback::Event;

use super::InputProblem;
use crate::settings::nearest;

/// The most problems reported for one event.
const TOLD_MAX: usize = 20;

type Fault = serde_path_to_error::Error<serde_json::Error>;

/// All problems of this event. Each is fixed in a copy, so that the next one shows.
pub(super) fn problems(place: usize, value: &Value) -> Vec<InputProblem> {
    let mut rest = value.clone();
    let mut problems: Vec<InputProblem> = Vec::new();
    while problems.len() < TOLD_MAX
        && let Err(fault) = serde_path_to_error::deserialize::<_, Event>(&rest)
    {
        let field = field(&fault);
        let problem = problem(place, field.as_deref(), &fault);
        let again = problems.contains(&problem);
        if !again {
            problems.push(problem);
        }
        if again || !mend(&mut rest, field.as_deref()) {
            break;
        }
    }
    problems
}

/// The field with the problem.
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

/// Replaces the field's value with a valid one.
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
    let unknown = words.starts_with("unknown field");
    // A missing field is a problem of the whole event.
    let key = match (field, path.as_str()) {
        (Some(field), _) if unknown => format!("[{place}].{field}"),
        (_, ".") => format!("[{place}]"),
        (_, path) => format!("[{place}].{path}"),
    };
    let message = if path.starts_with("answers") {
        // The decoder would quote the answer, which may be a child's own words.
        "answers must be an object that maps field names to the text of an option".to_owned()
    } else if words.starts_with("missing field") {
        format!("`{}` is missing", field.unwrap_or_default())
    } else if unknown {
        "unknown field".to_owned()
    } else {
        words
    };
    let meant = field
        .filter(|_| unknown)
        .and_then(|field| nearest(field, FIELDS));
    InputProblem {
        key,
        value: None,
        message,
        help: match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => r#"send {"id", "person", "kind": "sign_in" | "sign_out", "at": "2026-11-23T09:07:12Z", "answers": {}}"#
                .to_owned(),
        },
    }
}

/// The fields of an event, to suggest one for a misspelt name.
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

    fn told(event: Value) -> Vec<String> {
        let found = problems(3, &event);
        let mut told: Vec<_> = found
            .into_iter()
            .map(|problem| format!("{} {}", problem.key, problem.message))
            .collect();
        told.sort();
        told
    }

    #[test]
    fn all_that_is_wrong_with_an_event_is_told() {
        let event =
            json!({"id": 5, "persn": "A1", "kind": "in", "answers": {"Why": 3}, "colour": 1});
        let found = told(event);
        let wrong = [
            "[3] `at` is missing",
            "[3] `person` is missing",
            "[3].answers.Why",
            "[3].colour unknown field",
            "[3].id",
            "[3].kind",
            "[3].persn unknown field",
        ];
        assert_eq!(found.len(), wrong.len(), "{found:?}");
        for (found, wrong) in found.iter().zip(wrong) {
            assert!(found.starts_with(wrong), "{found} {wrong}");
        }
        assert_eq!(told(json!("text")).len(), 1);
        let good =
            json!({"id": "e", "person": "p", "kind": "sign_in", "at": "2026-11-23T09:07:12Z"});
        assert!(told(good).is_empty());
    }

    #[test]
    fn a_mistyped_field_finds_its_name() {
        let found = problems(0, &json!({"persn": "A1"}));
        assert!(
            found
                .iter()
                .any(|problem| problem.help.contains("`person`")),
            "{found:?}"
        );
    }
}
