//! Reads rows with invalid values: the values are dropped and reported, the rest is kept.
//!
//! This works for every record type. If parsing a row fails, the value at which it failed is removed and the row is
//! parsed again. A missing required value removes the object around it, in the end the row itself.

use std::{collections::HashSet, fmt::Write as _};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::body;

/// The maximum number of values removed from one row; a row that needs more is left out.
const DROPPED_MOST: usize = 200;

/// Something in a list that could not be read. It never contains the value, only its location and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DecodeIssue {
    /// The id of the record, if it could be read.
    pub id: Option<String>,
    /// The field: `date_of_birth`, `contacts[0].relationship.priority`. Empty for a row that is not a record.
    pub field: String,
    /// The page of the list, from 1.
    pub page: u32,
    /// What was expected.
    pub expected: String,
    /// The whole record was left out; otherwise only the value.
    pub left_out: bool,
}

/// Reads one row and reports what was dropped; `None` if nothing useful is left.
pub(crate) fn row<T: DeserializeOwned>(
    mut row: Value,
    page: u32,
    tell: &mut dyn FnMut(DecodeIssue),
) -> Option<T> {
    let id = match row.get("id") {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    let mut issues: Vec<DecodeIssue> = Vec::new();
    let mut told = HashSet::new();
    let mut read = None;
    for _ in 0..=DROPPED_MOST {
        let error = match serde_path_to_error::deserialize::<_, T>(&row) {
            Ok(record) => {
                read = Some(record);
                break;
            }
            Err(error) => error,
        };
        let message = body::without_value(&error.inner().to_string());
        let path: Vec<Segment> = error.path().iter().cloned().collect();
        // The object around a dropped value requires it; that has been reported already.
        if told.insert(error.path().to_string()) {
            issues.push(issue(&id, &path, page, &message));
        }
        if !drop_value(&mut row, &path) {
            break;
        }
    }
    if read.is_none() {
        // The last one is what the record requires.
        issues = issues.pop().into_iter().collect();
        issues.iter_mut().for_each(|issue| issue.left_out = true);
    }
    issues.into_iter().for_each(tell);
    read
}

/// Removes the value at the path, or the nearest one around it. False if that is the row itself.
fn drop_value(row: &mut Value, path: &[Segment]) -> bool {
    let known = path
        .iter()
        .position(|segment| !matches!(segment, Segment::Map { .. } | Segment::Seq { .. }))
        .unwrap_or(path.len());
    for length in (1..=known).rev() {
        let found = path
            .iter()
            .take(length)
            .try_fold(&mut *row, |value, segment| match segment {
                Segment::Map { key } => value.get_mut(key),
                Segment::Seq { index } => value.get_mut(index),
                Segment::Enum { .. } | Segment::Unknown => None,
            });
        if let Some(value) = found
            && !value.is_null()
        {
            *value = Value::Null;
            return true;
        }
    }
    false
}

fn issue(id: &Option<String>, path: &[Segment], page: u32, message: &str) -> DecodeIssue {
    let mut field = String::new();
    for segment in path {
        match segment {
            // The wrapper around includes is of no interest.
            Segment::Map { key } if key == "data" => {}
            Segment::Map { key } => {
                let dot = if field.is_empty() { "" } else { "." };
                let _ = write!(field, "{dot}{key}");
            }
            Segment::Seq { index } => {
                let _ = write!(field, "[{index}]");
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'));
    if let Some(name) = missing {
        let dot = if field.is_empty() { "" } else { "." };
        let _ = write!(field, "{dot}{name}");
    }
    DecodeIssue {
        id: id.clone(),
        field,
        page,
        expected: message
            .strip_prefix("expected ")
            .unwrap_or(message)
            .to_owned(),
        left_out: false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::{DecodeIssue, row};
    use crate::{Employee, Student};

    fn student(value: Value) -> (Option<Student>, Vec<DecodeIssue>) {
        let mut issues = Vec::new();
        let read = row(value, 3, &mut |issue| issues.push(issue));
        (read, issues)
    }

    fn php(date: &str, zone: &str) -> Value {
        json!({"date": date, "timezone_type": 3, "timezone": zone})
    }

    #[rstest]
    #[case::a_birthday(json!({"date_of_birth": php("01/09/2012", "UTC")}), "date_of_birth")]
    #[case::an_unknown_zone(
        json!({"updated_at": php("2026-06-01 09:00:00", "Narnia/Lantern")}),
        "updated_at"
    )]
    #[case::an_object_for_a_text(json!({"surname": {"first": "x"}}), "surname")]
    #[case::a_list_for_a_text(json!({"surname": ["x", "y"]}), "surname")]
    #[case::a_word_nobody_knows(
        json!({"contacts": {"data": [{"id": "C1"}, {"id": "C2",
            "relationship": {"data": {"parental_responsibility": "Unknown"}}}]}}),
        "contacts[1].relationship.parental_responsibility"
    )]
    #[case::text_for_a_number(
        json!({"contacts": [{"id": "C1", "relationship": {"priority": "first"}}]}),
        "contacts[0].relationship.priority"
    )]
    #[case::no_list(json!({"groups": 7}), "groups")]
    #[case::a_flag_for_a_record(json!({"education_details": true}), "education_details")]
    #[case::a_group_without_an_id(json!({"year": {"data": {"name": "Year 7"}}}), "year.id")]
    #[case::a_group_whose_id_is_null(
        json!({"year": {"data": {"id": null, "name": "Year 7"}}}),
        "year.id"
    )]
    #[case::a_group_whose_id_is_no_id(json!({"year": {"id": {}}}), "year.id")]
    fn an_unreadable_value_is_dropped_and_reported(#[case] fields: Value, #[case] field: &str) {
        let mut value = json!({"id": "A1", "forename": "Ada"});
        value
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let (read, issues) = student(value);
        assert_eq!(read.unwrap().forename.as_deref(), Some("Ada"));
        let [issue] = issues.as_slice() else {
            panic!("{issues:?}");
        };
        assert_eq!(
            (issue.id.as_deref(), issue.field.as_str(), issue.page),
            (Some("A1"), field, 3)
        );
        assert!(!issue.left_out);
    }

    #[rstest]
    #[case::null(json!(null), "", None)]
    #[case::a_text(json!("Ada"), "", None)]
    #[case::no_id(json!({"surname": "Lovelace"}), "id", None)]
    #[case::a_null_id(json!({"id": null, "date_of_birth": "never"}), "id", None)]
    #[case::an_id_that_is_none(json!({"id": {"of": "Ada"}}), "id", None)]
    fn a_row_without_an_id_is_omitted(
        #[case] value: Value,
        #[case] field: &str,
        #[case] id: Option<&str>,
    ) {
        let (read, issues) = student(value);
        assert!(read.is_none());
        let [issue] = issues.as_slice() else {
            panic!("{issues:?}");
        };
        assert_eq!((issue.field.as_str(), issue.id.as_deref()), (field, id));
        assert!(issue.left_out);
        assert!(!format!("{issue:?}").contains("Ada"), "{issue:?}");
    }

    #[test]
    fn unreadable_values_of_a_row_are_dropped_and_the_others_kept() {
        let value = json!({
            "id": 7, "surname": [], "forename": "Grace", "date_of_birth": "soon",
            "employment_details": {"data": {"current": "perhaps", "teaching_staff": "yes"}},
        });
        let mut issues = Vec::new();
        let read: Employee = row(value, 1, &mut |issue| issues.push(issue)).unwrap();
        assert_eq!(read.forename.as_deref(), Some("Grace"));
        assert_eq!(read.employment_details.unwrap().teaching_staff, Some(true));
        let mut fields: Vec<_> = issues.iter().map(|issue| issue.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            ["date_of_birth", "employment_details.current", "surname"]
        );
        assert!(issues.iter().all(|issue| issue.id.as_deref() == Some("7")));
    }
}
