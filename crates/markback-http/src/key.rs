//! The bearer key that protects the API.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::error::ApiError;

/// The key that clients must send.
#[derive(Clone)]
pub(super) struct Key(Arc<SecretString>);

impl Key {
    pub(super) fn new(secret: SecretString) -> Self {
        Self(Arc::new(secret))
    }

    /// Compares in constant time for keys of equal length.
    fn fits(&self, shown: &[u8]) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(shown).into()
    }
}

/// Rejects requests without the key, before the body is read.
pub(super) async fn guard(
    State(key): State<Key>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match bearer(request.headers()) {
        Some(shown) if key.fits(shown) => Ok(next.run(request).await),
        Some(_) => Err(ApiError::unauthorised(
            "this bearer key is wrong; send the one that the service's settings name",
        )),
        None => Err(ApiError::unauthorised(
            "no bearer key; send the header Authorization: Bearer and the key that the service's settings name",
        )),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Bearer hush", true)]
    #[case("bearer  hush ", true)]
    #[case("Bearer hus", false)]
    #[case("Bearer hushh", false)]
    #[case("Bearer ", false)]
    #[case("Basic hush", false)]
    #[case("hush", false)]
    #[case("", false)]
    fn only_the_key_itself_opens(#[case] header: &str, #[case] opens: bool) {
        let key = Key::new("hush".to_owned().into());
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, header.parse().unwrap());
        assert_eq!(bearer(&headers).is_some_and(|shown| key.fits(shown)), opens);
    }
}
