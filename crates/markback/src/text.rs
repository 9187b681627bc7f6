//! Text from files and HTTP: removes byte order marks and describes JSON errors.

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The text without the byte order mark that Windows programs add. Everything that reads text from outside uses this.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Like [`without_bom`], for bytes that may not be text.
pub fn bytes_without_bom(bytes: &[u8]) -> &[u8] {
    bytes
        .strip_prefix(BYTE_ORDER_MARK.as_bytes())
        .unwrap_or(bytes)
}

/// Reads a text file without its byte order mark.
///
/// # Errors
/// Returns an error if the file cannot be read or is not UTF-8.
pub fn read_file(path: &std::path::Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(match without_bom(&text) {
        rest if rest.len() < text.len() => rest.to_owned(),
        _ => text,
    })
}

/// Why a text is not JSON, in plain words. Never quotes the text, which may be pupils' data.
pub fn json_fault(error: &serde_json::Error) -> &'static str {
    let words = error.to_string();
    let words = words
        .rsplit_once(" at line ")
        .map_or(words.as_str(), |(words, _)| words);
    match words {
        "expected `,` or `}`" => "a comma or a closing } is missing before it",
        "expected `,` or `]`" => "a comma or a closing ] is missing before it",
        "expected `:`" => "a colon is missing between a name and its value",
        "key must be a string" => "a name must stand in double quotes",
        "trailing comma" => "there is a comma with nothing after it",
        "trailing characters" => "there is more after the end; put several values into a list",
        "expected value" => {
            "a value is missing here, or is not a text in double quotes, a number, true, false, null, {…} or […]"
        }
        "invalid escape" => "a backslash in a text must be written twice",
        "invalid number" | "number out of range" => "the number is not written as JSON has it",
        "invalid unicode code point" => "the text is not UTF-8",
        "recursion limit exceeded" => "it is nested too deeply",
        other if other.starts_with("control character") => {
            "a line break or tab in a text must be written as \\n or \\t"
        }
        _ => "it is not written as JSON has it",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_byte_order_mark_is_taken_off_once_and_only_at_the_beginning() {
        assert_eq!(without_bom("\u{feff}a\u{feff}"), "a\u{feff}");
        assert_eq!(without_bom("a"), "a");
        assert_eq!(bytes_without_bom(b"\xef\xbb\xbf{}"), b"{}");
        assert_eq!(bytes_without_bom(b"\xef\xbb"), b"\xef\xbb");
    }

    #[rstest]
    #[case(r#"{"a": 1 "SECRET": 2}"#, "a comma or a closing }")]
    #[case(r#"[1 2]"#, "a comma or a closing ]")]
    #[case(r#"{"a" 1}"#, "a colon is missing")]
    #[case("{SECRET: 1}", "double quotes")]
    #[case("[1,]", "a comma with nothing after it")]
    #[case(r#"{"a": 1,}"#, "a comma with nothing after it")]
    #[case("{} {}", "several values into a list")]
    #[case(r#"{"a": SECRET}"#, "a value is missing here")]
    #[case(r#"{"a": "C:\Secret"}"#, "written twice")]
    #[case("{\"a\": \"SECRET\n\"}", "line break or tab")]
    fn what_is_missing_is_told_and_nothing_of_the_text(#[case] text: &str, #[case] told: &str) {
        let error = serde_json::from_str::<Value>(text).unwrap_err();
        let fault = json_fault(&error);
        assert!(
            fault.contains(told) && !fault.contains("SECRET"),
            "{error}: {fault}"
        );
    }
}
