//! Errors of single marks in the response about a register.
//!
//! Their format is not known \[?\]. Every plausible format is read, and errors that cannot be read are not ignored:
//! they leave the whole register in doubt.

use serde_json::{Map, Value};

use super::{
    debug_only,
    status::WritebackStatus::{self, Done, Rejected},
};
use crate::StudentId;

/// The depth to which lists and objects are read.
const DEEPEST: usize = 4;

/// A mark that is reported as not written \[?\].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkFailure {
    /// The pupil, if the response names one.
    pub student: Option<StudentId>,
    /// The position in the register from zero, if the response names one.
    pub place: Option<usize>,
    /// Wonde's message. It may repeat what was written: show it only to people who may see the mark, and never log it.
    pub said: Option<String>,
}

debug_only! { MarkFailure { student, place } }

/// The errors that were found.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) marks: Vec<MarkFailure>,
    /// Whether an error names no mark, or names it ambiguously.
    pub(crate) unclear: bool,
    /// A message about no particular mark.
    pub(crate) said: Option<String>,
    /// Whether one of the positions can only be counted from zero.
    from_zero: bool,
}

impl Failures {
    /// Reads the properties of a response other than id, status and message.
    pub(crate) fn read(answer: &Map<String, Value>) -> Self {
        let mut found = Self::default();
        for (key, value) in answer {
            if tells_of_failure(key) {
                found.add(value, DEEPEST);
            } else if tells_of_success(key) {
                found.unclear |= denies(value);
            } else {
                found.add_rows(value);
            }
        }
        // "1" may be the first mark or the second.
        let by_place = |mark: &MarkFailure| mark.student.is_none();
        found.unclear |= !found.from_zero && found.marks.iter().any(by_place);
        found
    }

    /// Adds the errors in a value.
    fn add(&mut self, value: &Value, depth: usize) {
        if says_nothing(value) {
            return;
        }
        match value {
            Value::Array(items) if depth > 0 => {
                for item in items {
                    self.add_item(item, depth - 1);
                }
            }
            Value::Object(map) if depth > 0 => match map.get("data") {
                Some(data) => self.add(data, depth - 1),
                None if is_row(map) => self.add_row(map),
                None => self.add_keyed(map),
            },
            other => self.doubt(words(other)),
        }
    }

    /// Adds an error from a list.
    fn add_item(&mut self, item: &Value, depth: usize) {
        match item {
            Value::Object(map) if is_row(map) => self.add_row(map),
            Value::Number(number) => match number.as_u64().and_then(|n| usize::try_from(n).ok()) {
                Some(place) => self.note(None, Some(place), None),
                None => self.doubt(None),
            },
            Value::String(text) if is_id(text) => self.note(Some(text.as_str().into()), None, None),
            other => self.add(other, depth),
        }
    }

    /// Adds an object about one mark.
    fn add_row(&mut self, row: &Map<String, Value>) {
        let inner = ["mark", "record", "row", "input", "attendance"]
            .iter()
            .find_map(|key| row.get(*key)?.as_object());
        let student = student(row).or_else(|| inner.and_then(student));
        let place = ["index", "place", "position", "row", "line", "record", "key"]
            .iter()
            .find_map(|key| whole(row.get(*key)?));
        let path = ["path", "field", "key", "attribute", "pointer", "property"]
            .iter()
            .find_map(|key| place_in(row.get(*key)?.as_str()?));
        self.from_zero |= path.is_some();
        let said = [
            "message",
            "error_description",
            "error",
            "reason",
            "description",
            "detail",
            "errors",
            "why",
        ]
        .iter()
        .find_map(|key| words(row.get(*key)?));
        self.note(student, path.or(place), said);
    }

    /// Adds errors that are keyed by path, position or pupil.
    fn add_keyed(&mut self, map: &Map<String, Value>) {
        for (key, value) in map.iter().filter(|(_, value)| !says_nothing(value)) {
            let said = words(value);
            if let Some(place) = place_in(key) {
                self.from_zero = true;
                self.note(None, Some(place), said);
            } else if let Ok(place) = key.parse() {
                self.note(None, Some(place), said);
            } else if is_id(key) {
                self.note(Some(key.as_str().into()), None, said);
            } else {
                self.doubt(said);
            }
        }
    }

    /// Adds the errors in a list of the register's marks that each have a status.
    fn add_rows(&mut self, value: &Value) {
        let list = value.get("data").unwrap_or(value);
        for row in list.as_array().into_iter().flatten() {
            let Some(row) = row.as_object() else { continue };
            let word = ["status", "state", "result", "outcome"]
                .iter()
                .find_map(|key| row.get(*key)?.as_str());
            let told_of = |(key, value): (&String, &Value)| {
                tells_of_failure(key) && !says_nothing(value)
                    || tells_of_success(key) && denies(value)
            };
            match word.map(WritebackStatus::from_word) {
                Some(Rejected) => self.add_row(row),
                _ if row.iter().any(told_of) => self.add_row(row),
                Some(Done) | None => {}
                Some(WritebackStatus::Open) => self.unclear = true,
            }
        }
    }

    fn note(&mut self, student: Option<StudentId>, place: Option<usize>, said: Option<String>) {
        if student.is_none() && place.is_none() {
            return self.doubt(said);
        }
        self.from_zero |= place == Some(0);
        self.marks.push(MarkFailure {
            student,
            place,
            said,
        });
    }

    fn doubt(&mut self, said: Option<String>) {
        self.unclear = true;
        self.said = self.said.take().or(said);
    }
}

fn tells_of_failure(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "error",
        "fail",
        "reject",
        "refus",
        "invalid",
        "warning",
        "skipped",
        "ignored",
        "unmatched",
    ]
    .iter()
    .any(|word| key.contains(word))
}

fn tells_of_success(key: &str) -> bool {
    ["success", "successful", "ok", "valid", "written"].contains(&key)
}

/// Whether a value means that there are no errors.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => ["", "0", "false", "no", "none", "null"]
            .contains(&text.trim().to_ascii_lowercase().as_str()),
        Value::Array(items) => items.iter().all(says_nothing_in_a_list),
        Value::Object(map) => map.values().all(says_nothing),
    }
}

/// Whether a field for success is negative.
fn denies(value: &Value) -> bool {
    !value.is_null() && says_nothing(value)
}

/// Whether a value is an error; in a list, `0` is the first mark.
fn says_nothing_in_a_list(value: &Value) -> bool {
    !value.is_number() && says_nothing(value)
}

/// Whether an object is about one mark instead of a map of errors.
fn is_row(map: &Map<String, Value>) -> bool {
    let of_one = [
        "student_id",
        "student",
        "pupil_id",
        "pupil",
        "index",
        "place",
        "position",
        "row",
        "line",
        "path",
        "field",
        "pointer",
        "message",
        "reason",
        "mark",
        "record",
        "code",
        "detail",
        "description",
    ];
    map.keys().any(|key| of_one.contains(&key.as_str()))
}

fn student(row: &Map<String, Value>) -> Option<StudentId> {
    ["student_id", "student", "pupil_id", "pupil"]
        .iter()
        .find_map(|key| id(row.get(*key)?))
        .map(StudentId::from)
}

fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(map) => id(map.get("data").or_else(|| map.get("id"))?),
        _ => None,
    }
}

/// Whether a text may be an id: one word with a digit in it.
fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn whole(value: &Value) -> Option<usize> {
    match value {
        Value::Number(number) => usize::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The position, from zero, in a path into the request: `attendance.3.student_id`, `/attendance/3`, `attendance[3]`.
fn place_in(path: &str) -> Option<usize> {
    let mut parts = path
        .split(['.', '/', '[', ']'])
        .filter(|part| !part.is_empty());
    parts.find(|part| *part == "attendance")?;
    parts.next()?.parse().ok()
}

/// The message in a value: a text, or the texts of a list.
fn words(value: &Value) -> Option<String> {
    let words = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        Value::Object(map) => return map.values().find_map(words),
        Value::Null | Value::Bool(_) | Value::Number(_) => return None,
    };
    Some(words.chars().take(crate::rejection::SAID_MAX).collect())
        .filter(|words: &String| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(answer: Value) -> Failures {
        Failures::read(answer.as_object().unwrap())
    }

    #[rstest]
    #[case(json!({}))]
    #[case(json!({"errors": []}))]
    #[case(json!({"errors": null, "error": "", "failures": {}, "failed": 0, "warnings": "none"}))]
    #[case(json!({"errors": {"data": []}, "success": true, "records": 12}))]
    #[case(json!({"errors": [null, ""]}))]
    #[case(json!({"school": {"id": "A1"}, "includes": ["student"]}))]
    #[case(json!({"records": [{"student_id": "A1", "status": "written"}, {"student_id": "A2", "errors": []}]}))]
    fn a_response_without_errors_names_no_mark(#[case] answer: Value) {
        let found = read(answer);
        assert!(found.marks.is_empty() && !found.unclear);
    }

    #[rstest]
    #[case(json!({"errors": [{"index": 0, "message": "Why."}]}), None, Some(0))]
    #[case(json!({"errors": [{"student_id": "A7", "message": "Why."}]}), Some("A7"), None)]
    #[case(json!({"failures": {"data": [{"student": {"data": {"id": "A7"}}, "reason": "Why."}]}}), Some("A7"), None)]
    #[case(json!({"failed": [{"mark": {"student_id": "A7"}, "error": "Why."}]}), Some("A7"), None)]
    #[case(json!({"errors": {"attendance.3.student_id": ["Why."]}}), None, Some(3))]
    #[case(json!({"errors": [{"path": "/attendance/3/code", "detail": "Why."}]}), None, Some(3))]
    #[case(json!({"errors": {"A7": "Why."}}), Some("A7"), None)]
    #[case(json!({"errors": {"0": ["Why."]}}), None, Some(0))]
    #[case(json!({"records": [{"student_id": "A6", "status": "ok"}, {"student_id": "A7", "status": "Failed", "message": "Why."}]}), Some("A7"), None)]
    #[case(json!({"results": {"data": [{"student_id": "A7", "success": false, "reason": "Why."}]}}), Some("A7"), None)]
    fn a_failed_mark_is_found_with_its_message(
        #[case] answer: Value,
        #[case] student: Option<&str>,
        #[case] place: Option<usize>,
    ) {
        let found = read(answer);
        let [mark] = found.marks.as_slice() else {
            panic!("{:?}", found.marks);
        };
        assert_eq!(mark.student.as_ref().map(StudentId::as_str), student);
        assert_eq!(mark.place, place);
        assert_eq!(mark.said.as_deref(), Some("Why."));
        assert!(!format!("{mark:?}").contains("Why"));
    }

    #[rstest]
    #[case(json!({"errors": ["A7"]}))]
    #[case(json!({"failed": [0, 3]}))]
    #[case(json!({"rejected": {"A7": true}}))]
    fn a_failed_mark_is_found_without_a_message(#[case] answer: Value) {
        let found = read(answer);
        assert!(!found.marks.is_empty() && !found.unclear);
    }

    /// It is not known whether positions count from zero or one, unless the response shows it.
    #[test]
    fn an_index_alone_does_not_identify_a_mark() {
        let found = read(json!({"errors": [{"index": 1, "message": "Why."}]}));
        assert!(found.unclear && found.marks.len() == 1);
        let found = read(json!({"errors": [{"index": 0}, {"index": 1}]}));
        assert!(!found.unclear && found.marks.len() == 2);
    }

    #[rstest]
    #[case(json!({"errors": "Two marks were not written."}))]
    #[case(json!({"errors": ["The pupil is not at this school."]}))]
    #[case(json!({"errors": [{"message": "Not today."}]}))]
    #[case(json!({"errors": [["deep", [["deeper", [{"student_id": "A1"}]]]]]}))]
    #[case(json!({"failed": 2}))]
    #[case(json!({"error_count": "2"}))]
    #[case(json!({"has_errors": true}))]
    #[case(json!({"success": false}))]
    #[case(json!({"success": "false"}))]
    #[case(json!({"written": 0}))]
    #[case(json!({"error": {"what": "ever"}}))]
    #[case(json!({"warnings": [{"text": "Something."}]}))]
    #[case(json!({"marks": [{"student_id": "A1", "status": "queued"}]}))]
    fn an_error_that_names_no_mark_is_unclear(#[case] answer: Value) {
        assert!(read(answer.clone()).unclear, "{answer}");
    }
}
