//! Reads a code book from a file.

use std::path::Path;

use mis_core::{AttendanceCode, Code, CodeBook};
use serde::Deserialize;

use markback::text;
use markback_console::BadInput;

/// One code of a JSON list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Letters(Code),
    Line(AttendanceCode),
}

/// Reads a code book: a JSON list of codes or of objects with `code`, `id` and `description`, or a text with a code on
/// each line and its description after a blank. Empty lines of a text do not count.
///
/// # Errors
/// Returns an error if the file cannot be read, has another format or contains no codes.
pub(super) fn read(path: &Path) -> Result<CodeBook, BadInput> {
    let wrong = |what: &str| BadInput(format!("the code book {} {what}", path.display()));
    let text = text::read_file(path).map_err(|error| {
        wrong(&format!(
            "cannot be read: {error}; name another with --codes"
        ))
    })?;
    let book = if text.trim_start().starts_with('[') {
        let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|error| {
            wrong(&format!("is not a JSON list of codes: {error}; write [\"/\", \"L\"] or [{{\"code\": \"L\", \"id\": \"…\"}}]"))
        })?;
        CodeBook::new(entries.into_iter().map(|entry| match entry {
            Entry::Letters(code) => line(code, None),
            Entry::Line(line) => line,
        }))
    } else {
        CodeBook::new(text.lines().map(|text| {
            let text = text.trim();
            let (code, description) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            line(Code::new(code), Some(description.trim()))
        }))
    };
    if book.is_empty() {
        return Err(wrong("contains no codes; write one on each line"));
    }
    Ok(book)
}

fn line(code: Code, description: Option<&str>) -> AttendanceCode {
    AttendanceCode {
        description: description
            .filter(|words| !words.is_empty())
            .map(str::to_owned),
        ..AttendanceCode::new(code.as_str())
    }
}
