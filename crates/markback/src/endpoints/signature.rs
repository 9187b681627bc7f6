//! Signatures by the Standard Webhooks scheme (standardwebhooks.com): HMAC-SHA256 of `id.timestamp.body`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The beginning of each secret.
const PREFIX: &str = "whsec_";
/// The length of a secret in bytes; the scheme asks for 24 to 64.
const LEN: usize = 32;

/// The header with the message's id, which stays the same when it is sent again.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of the attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// The secret that an endpoint shares with us: `whsec_` and 32 bytes in Base64.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// A new secret of random bytes.
    pub(crate) fn random() -> Self {
        let bytes: [u8; LEN] = rand::random();
        Self::from(format!("{PREFIX}{}", STANDARD.encode(bytes)))
    }

    /// Its text, to show it once or to keep it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub(super) fn text(&self) -> &SecretString {
        &self.0
    }

    /// The signature of a message: `v1,` and Base64. `None` if the secret is no such secret.
    fn sign(&self, id: &str, at: DateTime<Utc>, body: &[u8]) -> Option<String> {
        let key = STANDARD.decode(self.expose().strip_prefix(PREFIX)?).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        mac.update(format!("{id}.{}.", at.timestamp()).as_bytes());
        mac.update(body);
        Some(format!(
            "v1,{}",
            STANDARD.encode(mac.finalize().into_bytes())
        ))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<SecretString> for Secret {
    fn from(text: SecretString) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The header with a signature by each secret; `None` if one of them is no such secret.
pub(crate) fn signatures<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    id: &str,
    at: DateTime<Utc>,
    body: &[u8],
) -> Option<String> {
    let signed: Option<Vec<_>> = secrets
        .into_iter()
        .map(|secret| secret.sign(id, at, body))
        .collect();
    Some(signed?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_in_the_examples_of_the_scheme() {
        let secret = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let signed = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    /// Fresh ones, because verifiers refuse what is older than five minutes.
    #[test]
    #[ignore = "`cargo xtask webhook-verifiers` runs it and says where to write"]
    fn signed_messages_are_written_for_other_verifiers() {
        let path = std::env::var_os("MARKBACK_SIGNED_MESSAGES").unwrap();
        let (old, new, other) = (Secret::random(), Secret::random(), Secret::random());
        let now = Utc::now();
        let long_ago = now - chrono::TimeDelta::hours(1);
        let body =
            r#"{"type":"event.confirmed","data":{"event":{"id":"Zoë-1","state":"confirmed"}}}"#;
        let message = |name: &str,
                       by: &[&Secret],
                       for_whom: &Secret,
                       at: DateTime<Utc>,
                       sent: &str,
                       valid: bool| {
            let id = "msg_we_0123456789abcdef_7";
            let signed = signatures(by.iter().copied(), id, at, body.as_bytes()).unwrap();
            serde_json::json!({
                "name": name, "secret": for_whom.expose(), "body": sent, "valid": valid,
                "headers": {
                    ID_HEADER: id, TIMESTAMP_HEADER: at.timestamp().to_string(), SIGNATURE_HEADER: signed,
                },
            })
        };
        let messages = [
            message("as it was sent", &[&new], &new, now, body, true),
            message(
                "while rotated, by the new secret",
                &[&new, &old],
                &new,
                now,
                body,
                true,
            ),
            message(
                "while rotated, by the old secret",
                &[&new, &old],
                &old,
                now,
                body,
                true,
            ),
            message("by another secret", &[&new, &old], &other, now, body, false),
            message("with another body", &[&new], &new, now, "{}", false),
            message("an hour old", &[&new], &new, long_ago, body, false),
        ];
        std::fs::write(path, serde_json::to_vec(&messages).unwrap()).unwrap();
    }

    #[test]
    fn a_new_secret_has_the_form_of_the_scheme_and_is_never_in_a_debug_text() {
        let secret = Secret::random();
        let bytes = STANDARD.decode(secret.expose().strip_prefix("whsec_").unwrap());
        assert_eq!(bytes.unwrap().len(), 32);
        assert_ne!(secret.expose(), Secret::random().expose());
        assert_eq!(format!("{secret:?}"), "Secret");
        let at = DateTime::from_timestamp(1, 0).unwrap();
        let both = signatures([&secret, &Secret::random()], "msg_1", at, b"{}").unwrap();
        let parts: Vec<_> = both.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.starts_with("v1,")));
    }
}
