//! Extractors for JSON bodies and path parameters, with our own error responses.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{BytesRejection, PathRejection},
    },
    http::{StatusCode, header, request::Parts},
    response::IntoResponse as _,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use markback::text::{bytes_without_bom, json_fault};

use super::error::{ApiError, Kind, Problem};

/// Path parameters.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(super) struct Path<T>(pub(super) T);

impl From<PathRejection> for ApiError {
    fn from(_: PathRejection) -> Self {
        Self::unreadable_address()
    }
}

/// The body as JSON, whatever its content type says.
pub(super) struct Body(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        parse(&read(request, state).await?).map(Self)
    }
}

/// An optional JSON body.
pub(super) struct MaybeBody(pub(super) Option<Value>);

impl<S: Send + Sync> FromRequest<S> for MaybeBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = read(request, state).await?;
        if bytes_without_bom(&bytes)
            .iter()
            .all(u8::is_ascii_whitespace)
        {
            return Ok(Self(None));
        }
        parse(&bytes).map(|body| Self(Some(body)))
    }
}

/// The version that a change is based on, from the header `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The header is missing.
    Missing,
    /// `*`: whichever is the newest.
    Any,
    /// The number of a version.
    Version(u32),
}

impl Base {
    /// The number that somebody saw; `None` goes by the newest.
    pub(super) fn number(self) -> Option<u32> {
        match self {
            Self::Version(number) => Some(number),
            Self::Missing | Self::Any => None,
        }
    }

    /// The same, if the header is there.
    pub(super) fn required(self) -> Result<Option<u32>, ApiError> {
        if self == Self::Missing {
            return Err(ApiError::new(
                Kind::VersionNeeded,
                "the header If-Match is missing; send the number of the version that this is based on, such as \"3\", or *",
            ));
        }
        Ok(self.number())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Base {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self::Missing);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let number = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        number
            .unwrap_or(text)
            .parse()
            .map(Self::Version)
            .map_err(|_| {
                ApiError::invalid_input(Problem {
                    parameter: Some("If-Match".to_owned()),
                    message: "this is not the number of a version".to_owned(),
                    help: "send the ETag of the version that this is based on, such as \"3\", or *"
                        .to_owned(),
                    ..Problem::default()
                })
            })
    }
}

/// Reads a body in the form that a route takes, which `help` shows. The error quotes nothing of the body.
pub(super) fn read_as<T: DeserializeOwned>(body: Value, help: &str) -> Result<T, ApiError> {
    serde_json::from_value(body).map_err(|_| {
        ApiError::invalid_input(Problem::of_body(
            "the body is not valid for this address",
            help,
        ))
    })
}

/// The longest body in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyMax(pub(super) usize);

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let max = request.extensions().get::<BodyMax>().copied();
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|rejection| unread(rejection, max))
}

fn unread(rejection: BytesRejection, max: Option<BodyMax>) -> ApiError {
    let status = rejection.into_response().status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(
            Kind::TooLarge,
            match max {
                Some(BodyMax(max)) => {
                    format!("the body is longer than {max} bytes; send the events in several parts")
                }
                None => "the body is too long; send the events in several parts".to_owned(),
            },
        );
    }
    ApiError::new(Kind::InvalidJson, "the body is incomplete; send it again")
}

/// Describes invalid JSON by its position: the text itself is pupils' data.
fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    let bytes = bytes_without_bom(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let (message, help) = if bytes.iter().all(u8::is_ascii_whitespace) {
            (
                "the body is empty".to_owned(),
                "send an event or a list of events as JSON",
            )
        } else if error.is_eof() {
            (
                format!("the JSON breaks off at {place}"),
                "send the complete JSON; nothing was stored",
            )
        } else {
            (
                format!("this is no JSON from {place} on: {}", json_fault(&error)),
                "correct the JSON; nothing was stored",
            )
        };
        ApiError::new(Kind::InvalidJson, format!("{message}; {help}"))
            .with_problems(vec![Problem::of_body(message, help)])
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, Some(Base::Missing))]
    #[case(Some("*"), Some(Base::Any))]
    #[case(Some("\"12\""), Some(Base::Version(12)))]
    #[case(Some("12"), Some(Base::Version(12)))]
    #[case(Some("\"12"), None)]
    #[case(Some("\"file 3f2a9c1b\""), None)]
    #[case(Some("\"1\", \"2\""), None)]
    #[tokio::test]
    async fn if_match_names_one_version(#[case] header: Option<&str>, #[case] base: Option<Base>) {
        let mut request = axum::http::Request::builder();
        if let Some(header) = header {
            request = request.header("if-match", header);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(Base::from_request_parts(&mut parts, &()).await.ok(), base);
    }

    #[rstest]
    #[case(b"", "is empty")]
    #[case(b"\xef\xbb\xbf \n", "is empty")]
    #[case(
        br#"{"id":"e1" "SECRET":1}"#,
        "line 1, column 12 on: a comma or a closing }"
    )]
    #[case(b" \n", "is empty")]
    #[case(br#"{"id":"e1","person":"SECRET"#, "breaks off at line 1, column 27")]
    #[case(b"{\"id\":\n SECRET}", "no JSON from line 2, column 2")]
    #[case(b"{\"id\":\"\xff\"}", "no JSON from line 1")]
    #[case(b"{} {}", "no JSON from line 1, column 4")]
    fn what_is_no_json_is_told_by_its_place(#[case] body: &[u8], #[case] told: &str) {
        let text = format!("{:?}", parse(body).unwrap_err());
        assert!(text.contains(told) && !text.contains("SECRET"), "{text}");
    }
}
