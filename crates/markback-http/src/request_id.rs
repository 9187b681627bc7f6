//! The id of a request: in the response's header, in the log, and in the `instance` of a problem.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the id, in requests and responses.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over, in bytes.
const ID_MAX: usize = 64;

tokio::task_local! {
    /// The id of the request that this task handles. An error is made deep in a handler, where no request is at hand.
    static CURRENT: RequestId;
}

/// An id of at most 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Takes over the id that a client or a proxy has given, if it can safely be logged, and makes one otherwise.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&HEADER).filter(|id| is_sane(id.as_bytes()));
        given.map_or_else(Self::new, |id| Self(id.clone()))
    }

    fn new() -> Self {
        let id = format!("{:032x}", rand::random::<u128>());
        Self(HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none")))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Runs the handling of a request with this id as the current one.
    pub(crate) async fn scope<F: Future>(self, handling: F) -> F::Output {
        CURRENT.scope(self, handling).await
    }
}

/// The id of the request that is being handled.
pub(crate) fn current() -> Option<String> {
    CURRENT.try_with(|id| id.as_str().to_owned()).ok()
}

fn is_sane(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=ID_MAX).contains(&id.len()) && id.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7f3a-01_b.2", true)]
    #[case("", false)]
    #[case("a b", false)]
    #[case("a\"b", false)]
    #[case("<script>", false)]
    #[case(&"a".repeat(64), true)]
    #[case(&"a".repeat(65), false)]
    fn only_a_sane_id_is_taken_over(#[case] given: &str, #[case] taken: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, given.parse().unwrap());
        let id = RequestId::of(&headers);
        assert_eq!(id.as_str() == given, taken);
        assert!(is_sane(id.as_str().as_bytes()));
    }

    #[test]
    fn ids_differ() {
        let none = HeaderMap::new();
        assert_ne!(RequestId::of(&none), RequestId::of(&none));
    }
}
