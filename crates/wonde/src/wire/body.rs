//! Parses the body of a response, with error messages that contain none of its values.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::relation::One;
use crate::OpenRecord;

/// The maximum nesting of a response. Responses with all includes need about half of it; deeper nesting could exhaust
/// the stack, because records contain records.
const DEEPEST: usize = 32;

/// Why a body could not be read.
#[derive(Debug, PartialEq)]
pub(crate) enum Unreadable {
    /// It is not JSON, or cut off; a proxy may have sent it.
    NotJson(String),
    /// It is JSON of an unexpected format.
    Misfit(String),
}

/// Reads a body.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Unreadable::NotJson("the response is empty".to_owned()));
    }
    if is_deeper_than(DEEPEST, body) {
        return Err(Unreadable::Misfit(format!(
            "nesting is deeper than {DEEPEST} levels"
        )));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| explain(&error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// Reads one record, wrapped in `data` or not.
pub(crate) fn read_one<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    match read::<One<T>>(body)? {
        One::Full(record) => Ok(record),
        One::Absent | One::Id(_) => Err(Unreadable::Misfit("`data`: expected a record".to_owned())),
    }
}

/// Reads one record of unknown properties. A body that is empty or no record yields an empty record.
pub(crate) fn read_open(body: &[u8]) -> Result<OpenRecord, Unreadable> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(OpenRecord::default());
    }
    match read::<One<OpenRecord>>(body)? {
        One::Full(record) => Ok(record),
        One::Absent | One::Id(_) => Ok(OpenRecord::default()),
    }
}

/// Whether lists and objects are nested deeper than this. Brackets in strings do not count.
fn is_deeper_than(limit: usize, body: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

fn explain(path: &str, error: &serde_json::Error) -> Unreadable {
    match error.classify() {
        // In malformed JSON, a path may contain keys that are not field names.
        Category::Io | Category::Syntax | Category::Eof => not_json(error),
        Category::Data => {
            Unreadable::Misfit(format!("`{path}`: {}", without_value(&error.to_string())))
        }
    }
}

fn not_json(error: &serde_json::Error) -> Unreadable {
    Unreadable::NotJson(format!(
        "the response is not JSON from line {}, column {}",
        error.line(),
        error.column()
    ))
}

/// The part of a message that comes from this crate: the expected format or the missing field. The rest may repeat the
/// value.
pub(crate) fn without_value(message: &str) -> String {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(message, _)| message);
    if message.starts_with("missing field `") || message.starts_with("duplicate field `") {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, what)) => format!("expected {what}"),
        None => "cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Unreadable, is_deeper_than, read, without_value};

    #[rstest]
    #[case("[[]]", false)]
    #[case("[[[]]]", true)]
    #[case(r#"{"a": [1, 2], "b": [{}"#, true)]
    #[case(r#"[["[[[["], ["{"]]"#, false)]
    #[case(r#"["a \" [[[", "\\", []]"#, false)]
    #[case(r#"["\\", [[]]]"#, true)]
    #[case("]]]][[", false)]
    fn deep_nesting_is_detected(#[case] body: &str, #[case] too_deep: bool) {
        assert_eq!(is_deeper_than(2, body.as_bytes()), too_deep);
    }

    #[rstest]
    #[case("", "the response is empty")]
    #[case(" \n", "the response is empty")]
    #[case("<html>Ada</html>", "the response is not JSON from line 1, column 1")]
    #[case(
        r#"{"Ada Lovelace": "#,
        "the response is not JSON from line 1, column 17"
    )]
    #[case("[] Ada", "the response is not JSON from line 1, column 4")]
    fn malformed_json_is_reported_with_its_place(#[case] body: &str, #[case] words: &str) {
        let error = read::<serde_json::Value>(body.as_bytes()).unwrap_err();
        assert_eq!(error, Unreadable::NotJson(words.to_owned()));
    }

    #[rstest]
    #[case(
        "invalid type: string \"Ada\", expected u8 at line 1 column 9",
        "expected u8"
    )]
    #[case(
        "invalid value: string \"Ada, expected Bob\", expected a date",
        "expected a date"
    )]
    #[case("missing field `id` at line 1 column 9", "missing field `id`")]
    #[case("Ada is no number", "cannot be read")]
    fn messages_omit_the_value(#[case] message: &str, #[case] words: &str) {
        assert_eq!(without_value(message), words);
    }
}
