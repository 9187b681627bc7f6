//! Maps an error response to an error and its recovery.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use crate::{
    ErrorKind, Recovery,
    error::{Effect, Error},
    wire::text,
};

/// The longest wait that is accepted. A longer one is a mistake and would block a school forever.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The maximum length of Wonde's message.
pub(crate) const SAID_MAX: usize = 1_000;

/// The fields of an error response in Wonde's format \[T\].
#[derive(Default, Deserialize)]
struct Words {
    #[serde(default, deserialize_with = "text")]
    error: Option<String>,
    #[serde(default, deserialize_with = "text")]
    error_description: Option<String>,
    #[serde(default, deserialize_with = "text")]
    message: Option<String>,
    /// Validation errors by field, in the format of the framework that the other texts suggest [?].
    #[serde(default)]
    errors: serde_json::Value,
}

/// The depth to which [`Words::errors`] is read.
const DEEPEST: usize = 4;

/// The texts in a value, each with its path.
fn texts(value: &serde_json::Value, under: &str, depth: usize, into: &mut Vec<String>) {
    use serde_json::Value::{Array, Object, String};
    match value {
        String(text) if under.is_empty() => into.push(text.clone()),
        String(text) => into.push(format!("{under}: {text}")),
        Array(items) if depth > 0 => {
            for item in items {
                texts(item, under, depth - 1, into);
            }
        }
        Object(fields) if depth > 0 => {
            for (name, value) in fields {
                texts(value, name, depth - 1, into);
            }
        }
        _ => {}
    }
}

/// Returns the error for an unsuccessful response.
pub(crate) fn rejection(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    effect: Effect,
    token: &str,
) -> Error {
    let words: Words = serde_json::from_slice(body).unwrap_or_default();
    let kind = kind(status);
    let recovery = recovery(status, effect, wait(headers));
    let code = match (kind, words.error.as_deref()) {
        // A validation error may repeat the content in any field.
        (ErrorKind::Validation, _) | (_, None) => String::new(),
        (_, Some(word)) if is_code(word) && !word.contains(token) => format!(", {word}"),
        (_, Some(_)) => String::new(),
    };
    let look = "it may have been carried out: check before you repeat it";
    let advice = match (recovery, kind) {
        // A redirect needs both pieces of advice.
        (Recovery::Unknown, ErrorKind::Redirected) => format!("{}; {look}", advice(kind)),
        (Recovery::Unknown, _) => look.to_owned(),
        _ => advice(kind).to_owned(),
    };
    Error::new(
        kind,
        recovery,
        format!("{} ({status}{code}); {advice}", what(kind)),
    )
    .with_server_message(said(&words, token))
}

fn kind(status: u16) -> ErrorKind {
    match status {
        300..=399 => ErrorKind::Redirected,
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        408 => ErrorKind::Timeout,
        422 => ErrorKind::Validation,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::BadRequest,
        _ => ErrorKind::Server,
    }
}

fn recovery(status: u16, effect: Effect, wait: Option<Duration>) -> Recovery {
    let later = wait.map_or(Recovery::Retry, Recovery::RetryAfter);
    match (status, effect) {
        (429 | 503, _) | (408 | 500..=599, Effect::Read) => later,
        // A 300 to 303 may follow a write that was carried out.
        (300..=303 | 408 | 500.., Effect::Write) => Recovery::Unknown,
        _ => Recovery::Never,
    }
}

fn what(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unauthorized => "Wonde does not know the token",
        ErrorKind::Forbidden => "the token does not have permission for this",
        ErrorKind::NotFound => "Wonde did not find it",
        ErrorKind::Validation => "Wonde rejected the content as invalid",
        ErrorKind::RateLimited => "too many requests",
        ErrorKind::Timeout => "Wonde waited too long for the request",
        ErrorKind::Redirected => "Wonde redirects the request, and redirects are not followed",
        ErrorKind::Server => "Wonde failed to handle the request",
        _ => "Wonde rejected the request",
    }
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unauthorized => "check that it is complete and has not been revoked",
        ErrorKind::Forbidden => "ask the school to approve the access and to grant the permission",
        ErrorKind::NotFound => "check the id, and that the request went to the school's own region",
        ErrorKind::Validation => {
            "check the codes and ids, or send fewer marks to find the invalid one"
        }
        ErrorKind::RateLimited | ErrorKind::Server | ErrorKind::Timeout => "try again later",
        ErrorKind::Redirected => {
            "check the base URL and the school's region, and whether a proxy or a maintenance page responds instead"
        }
        _ => "check the parameters: the supported includes differ by MIS",
    }
}

/// Whether a text is a machine-readable code such as `invalid_include`, which cannot contain a name or comment.
fn is_code(word: &str) -> bool {
    word.len() <= 64
        && word.contains('_')
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn said(words: &Words, token: &str) -> Option<String> {
    let mut parts: Vec<String> = [&words.error, &words.error_description, &words.message]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    texts(&words.errors, "", DEEPEST, &mut parts);
    let all = parts.join(": ").replace(token, "[token]");
    Some(all.chars().take(SAID_MAX).collect()).filter(|said: &String| !said.is_empty())
}

/// How long to wait: `Retry-After` in seconds, or as a date relative to the response's own clock, because ours may be
/// wrong.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = headers
        .get(DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or_else(SystemTime::now);
    Some(
        until
            .duration_since(now)
            .unwrap_or_default()
            .min(LONGEST_WAIT),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderValue};
    use rstest::rstest;

    use super::{is_code, recovery, rejection, wait};
    use crate::{ErrorKind, Recovery, error::Effect};

    #[rstest]
    #[case("0", Some(0))]
    #[case("30", Some(30))]
    #[case(" 30 ", Some(30))]
    #[case("18446744073709551615", Some(86_400))]
    #[case("Mon, 23 Nov 2026 09:01:30 GMT", Some(90))]
    #[case("Mon, 23 Nov 2026 08:00:00 GMT", Some(0))]
    #[case("Mon, 23 Nov 2099 09:00:00 GMT", Some(86_400))]
    #[case("-5", None)]
    #[case("soon", None)]
    #[case("", None)]
    fn retry_after_is_read(#[case] header: &str, #[case] seconds: Option<u64>) {
        let headers = HeaderMap::from_iter([
            (
                super::DATE,
                HeaderValue::from_static("Mon, 23 Nov 2026 09:00:00 GMT"),
            ),
            (super::RETRY_AFTER, HeaderValue::from_str(header).unwrap()),
        ]);
        assert_eq!(wait(&headers), seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case(400, Recovery::Never, Recovery::Never)]
    #[case(401, Recovery::Never, Recovery::Never)]
    #[case(403, Recovery::Never, Recovery::Never)]
    #[case(404, Recovery::Never, Recovery::Never)]
    #[case(408, Recovery::Retry, Recovery::Unknown)]
    #[case(422, Recovery::Never, Recovery::Never)]
    #[case(429, Recovery::Retry, Recovery::Retry)]
    #[case(500, Recovery::Retry, Recovery::Unknown)]
    #[case(502, Recovery::Retry, Recovery::Unknown)]
    #[case(503, Recovery::Retry, Recovery::Retry)]
    #[case(504, Recovery::Retry, Recovery::Unknown)]
    #[case(524, Recovery::Retry, Recovery::Unknown)]
    #[case(302, Recovery::Never, Recovery::Unknown)]
    #[case(303, Recovery::Never, Recovery::Unknown)]
    #[case(307, Recovery::Never, Recovery::Never)]
    #[case(308, Recovery::Never, Recovery::Never)]
    fn each_status_has_its_recovery(
        #[case] status: u16,
        #[case] read: Recovery,
        #[case] write: Recovery,
    ) {
        assert_eq!(recovery(status, Effect::Read, None), read);
        assert_eq!(recovery(status, Effect::Write, None), write);
    }

    #[rstest]
    #[case("invalid_include", true)]
    #[case("resource_not_found", true)]
    #[case("Ada Lovelace", false)]
    #[case("lovelace", false)]
    #[case("", false)]
    fn error_codes_are_recognised(#[case] word: &str, #[case] is: bool) {
        assert_eq!(is_code(word), is);
    }

    #[test]
    fn a_body_that_is_not_json_is_an_error() {
        let error = rejection(
            502,
            &HeaderMap::new(),
            b"<html>Ada</html>",
            Effect::Read,
            "secret",
        );
        assert_eq!(
            (error.kind(), error.server_message()),
            (ErrorKind::Server, None)
        );
    }

    #[test]
    fn validation_messages_name_their_fields() {
        let body = serde_json::json!({
            "message": "The given data was invalid.",
            "errors": {"attendance.3.comment": ["The comment may not be greater than 20 characters."], "n": 7},
        });
        let error = rejection(
            422,
            &HeaderMap::new(),
            body.to_string().as_bytes(),
            Effect::Write,
            "secret",
        );
        assert_eq!(
            error.server_message(),
            Some(
                "The given data was invalid.: attendance.3.comment: The comment may not be greater than 20 characters."
            )
        );
    }

    #[test]
    fn server_messages_are_shortened_and_contain_no_token() {
        let body = serde_json::json!({"error": "secret_token", "error_description": "secret_token ".repeat(500)});
        let error = rejection(
            400,
            &HeaderMap::new(),
            body.to_string().as_bytes(),
            Effect::Read,
            "secret_token",
        );
        let said = error.server_message().unwrap();
        assert!(
            said.contains("[token]")
                && !said.contains("secret_token")
                && said.chars().count() == 1_000
        );
        assert!(!error.to_string().contains("secret_token"), "{error}");
    }
}
