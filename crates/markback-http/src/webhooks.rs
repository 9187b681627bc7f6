//! Wonde's webhooks; they only speed up polling. They are not signed, so their address holds a secret and their content
//! is only a hint: Wonde is asked.
//!
//! Webhooks may arrive twice, late or out of order; repeating one changes nothing.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::to_bytes,
    extract::{Request, State},
};
use mis_core::SchoolId;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use subtle::{Choice, ConstantTimeEq as _};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind},
    extract::Path,
    nothing_there,
    openapi::ResponseBody,
};
use markback::{
    approvals::Approval,
    audit_log::{AuditAction, Caller, NewAuditEntry},
    metrics,
    service::Markback,
    store::NoticeKind,
    sync::SyncRequest,
    text::bytes_without_bom,
};

/// The longest body in bytes; known webhooks are far shorter.
const BODY_MAX: usize = 64 * 1024;
/// The longest secret in bytes.
const SECRET_MAX: usize = 256;
/// Accepted lengths of the secret.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 16..=SECRET_MAX;
/// The longest text from outside that is stored, in characters.
const WORD_MAX: usize = 80;
/// How long to wait for Wonde's confirmation. Otherwise the next write shows it.
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// How long a school is paused after its approval was revoked. Then it is tried whether the approval came back
/// unnoticed.
const REVOKED: Duration = Duration::from_secs(60 * 60);

/// The sub-router. Without a secret all of its addresses are not found.
pub(super) fn routes(secret: WebhookSecret) -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(hear))
        .layer(Extension(Arc::new(secret)))
}

/// What was done about a webhook.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookHeard")]
struct Heard {
    /// Always `ok`.
    status: &'static str,
    /// What was done, as text.
    done: &'static str,
}

type HeardBody = ResponseBody<Heard>;

/// Hears a webhook of Wonde
///
/// The body is what Wonde sends. It is only a hint: Wonde is asked.
#[utoipa::path(post, path = "/webhooks/wonde/{secret}", operation_id = "wonde_webhook", tag = "service",
    request_body(content = Object, description = "What Wonde sends."),
    responses((status = 200, description = "It was heard.", body = HeardBody)))]
async fn hear(
    State(markback): State<Markback>,
    Extension(secret): Extension<Arc<WebhookSecret>>,
    shown: Result<Path<String>, ApiError>,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    // Invalid text is not the secret, and gets the same answer.
    let shown = shown.map_or_else(|_| String::new(), |Path(shown)| shown);
    take(&markback, &secret, &shown, request).await
}

/// The secret in the address of the webhooks.
pub(super) struct WebhookSecret(Option<SecretString>);

impl WebhookSecret {
    /// The secret that the settings name; without one, no address has webhooks.
    pub(super) fn new(secret: Option<SecretString>) -> Self {
        if let Some(secret) = &secret {
            let length = secret.expose_secret().len();
            if !SECRET_LENGTHS.contains(&length) {
                tracing::warn!(
                    "the secret of the webhooks must have {} to {SECRET_MAX} bytes; a shorter one can be guessed, and a longer one is never accepted",
                    SECRET_LENGTHS.start()
                );
            }
        }
        Self(secret)
    }

    /// No secret, which matches no address.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Takes the same time for any input, even if no secret is set.
    fn matches(&self, shown: &str) -> bool {
        let secret = self.0.as_ref().map_or("", |secret| secret.expose_secret());
        let (kept, shown) = (padded(secret), padded(shown));
        let set = Choice::from(u8::from(!secret.is_empty() && secret.len() <= SECRET_MAX));
        (kept.0.ct_eq(&shown.0) & kept.1.ct_eq(&shown.1) & set).into()
    }
}

/// The text padded to a fixed length, and its original length.
fn padded(text: &str) -> ([u8; SECRET_MAX], u64) {
    let mut bytes = [0; SECRET_MAX];
    for (to, from) in bytes.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    (bytes, text.len() as u64)
}

async fn take(
    markback: &Markback,
    secret: &WebhookSecret,
    shown: &str,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    if !secret.matches(shown) {
        return Err(nothing_there().await);
    }
    // The body is read only after the secret was checked.
    let body = to_bytes(request.into_body(), BODY_MAX).await.map_err(|_| {
        ApiError::new(
            Kind::TooLarge,
            format!("the body broke off, or is longer than {BODY_MAX} bytes"),
        )
    })?;
    let hook = Hook::read(&body)?;
    let done = hook
        .handle(markback)
        .await
        .map_err(|error| ApiError::no_database(&error, "send the request again"))?;
    Ok(Json(Heard { status: "ok", done }))
}

/// The content of a webhook.
#[derive(Debug)]
enum Hook {
    Writeback {
        id: String,
        school: Option<String>,
        /// Wonde's word for how it went, which is only a hint.
        status: Option<String>,
    },
    Approved(Approval),
    AccessGone {
        school: SchoolId,
        kind: NoticeKind,
    },
    Migration {
        school: SchoolId,
        subject: String,
        scheduled: Option<String>,
        done: bool,
    },
    /// Of an unknown type, or incomplete.
    Other,
}

impl Hook {
    /// Accepts ids as text or numbers and ignores everything that is not needed. A token is kept from view at once.
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let hook: Value = serde_json::from_slice(bytes_without_bom(body))
            .map_err(|_| ApiError::new(Kind::InvalidJson, "this is no JSON"))?;
        let text = |name: &str| match hook.get(name)? {
            Value::String(text) => word(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let school = text("school_id").map(SchoolId::from);
        let hook = match (text("payload_type").as_deref(), school) {
            (Some("writeback"), school) => text("writeback_id").map(|id| Self::Writeback {
                id,
                school: school.map(|school| school.to_string()),
                status: text("status"),
            }),
            (Some("schoolApproved"), Some(school)) => Some(Self::Approved(Approval {
                school,
                name: text("school_name"),
                token: hook
                    .get("school_token")
                    .and_then(Value::as_str)
                    .filter(|token| !token.is_empty())
                    .map(SecretString::from),
            })),
            (Some("accessRevoked"), Some(school)) => Some(Self::AccessGone {
                school,
                kind: NoticeKind::Revoked,
            }),
            (Some("accessDeclined"), Some(school)) => Some(Self::AccessGone {
                school,
                kind: NoticeKind::Declined,
            }),
            (Some("schoolMigration"), Some(school)) => Some(Self::Migration {
                school,
                subject: format!(
                    "{} to {}",
                    text("migrate_from").as_deref().unwrap_or("another MIS"),
                    text("migrate_to").as_deref().unwrap_or("another MIS"),
                ),
                scheduled: time(hook.get("scheduled_at")),
                done: time(hook.get("completed_at")).is_some(),
            }),
            _ => None,
        };
        Ok(hook.unwrap_or(Self::Other))
    }

    fn payload_type(&self) -> &'static str {
        match self {
            Self::Writeback { .. } => "writeback",
            Self::Approved(_) => "schoolApproved",
            Self::AccessGone {
                kind: NoticeKind::Declined,
                ..
            } => "accessDeclined",
            Self::AccessGone { .. } => "accessRevoked",
            Self::Migration { .. } => "schoolMigration",
            Self::Other => "other",
        }
    }

    /// Acts on the hint and returns what was done.
    async fn handle(self, markback: &Markback) -> outbox::Result<&'static str> {
        let payload_type = self.payload_type();
        metrics::webhook(payload_type);
        let done = match self {
            Self::Writeback { id, school, status } => {
                ask_soon(markback, &id, school, status.as_deref()).await?
            }
            Self::Approved(approval) => {
                let done = markback.school_approved(&approval).await?;
                go_on(markback, &approval.school).await?;
                done.as_str()
            }
            Self::AccessGone { school, kind } => access_gone(markback, &school, kind).await?,
            Self::Migration {
                school,
                subject,
                scheduled,
                done,
            } => migration(markback, &school, &subject, scheduled.as_deref(), done).await?,
            Self::Other => "ignored; this type has no meaning here",
        };
        tracing::info!(payload_type, done, "a webhook came in");
        Ok(done)
    }
}

/// Asks about the writeback now instead of later. If it is said to be done, it may wait for others, which are then asked
/// about together.
async fn ask_soon(
    markback: &Markback,
    id: &str,
    school: Option<String>,
    status: Option<&str>,
) -> outbox::Result<&'static str> {
    let hint = markback.hear_of_writeback(id, school, status).await?;
    Ok(hint.as_str())
}

async fn access_gone(
    markback: &Markback,
    school: &SchoolId,
    kind: NoticeKind,
) -> outbox::Result<&'static str> {
    let Some(settings) = markback.school(school) else {
        return Ok("the settings do not contain this school");
    };
    markback.schools().forget(school);
    match tokio::time::timeout(ASK_WITHIN, markback.schools().is_approved(&settings)).await {
        Ok(Ok(true)) => Ok("Wonde reports that the school still approves"),
        Ok(Ok(false)) => {
            let words = "the school took back its approval, or did not give it: ask the school to approve in Wonde's portal, \
                         or take it out of the settings";
            tracing::warn!(school = %school, "{words}");
            markback
                .store()
                .note(school, kind, "", words, false)
                .await?;
            let mut tx = markback.store().database().begin().await?;
            markback
                .store()
                .pause(&mut tx, school.as_str(), REVOKED, words, true)
                .await?;
            tx.commit().await?;
            Ok("the school is paused")
        }
        Ok(Err(_)) | Err(_) => Ok("Wonde could not be asked; the next write will show it"),
    }
}

async fn migration(
    markback: &Markback,
    school: &SchoolId,
    subject: &str,
    scheduled: Option<&str>,
    done: bool,
) -> outbox::Result<&'static str> {
    let settings = markback.school(school);
    let pinned = settings.as_ref().is_some_and(|school| school.mis.is_some());
    let advice = if pinned {
        "the settings name the school's `mis`: change that, or leave it out"
    } else {
        "the adapter follows by itself"
    };
    let words = match (done, scheduled) {
        (true, _) => format!("the school has changed its MIS, {subject}; {advice}"),
        (false, Some(at)) => {
            format!("the school will change its MIS, {subject}, from {at} on; then {advice}")
        }
        (false, None) => format!("the school will change its MIS, {subject}; then {advice}"),
    };
    let news = markback
        .store()
        .note(school, NoticeKind::Migration, subject, &words, done)
        .await?;
    if !news {
        return Ok("that is over already");
    }
    tracing::warn!(school = %school, done, "the school changes its MIS; `markback status` tells more");
    if !done {
        return Ok("the operator is warned");
    }
    go_on(markback, school).await?;
    // All ids are new: people must be matched before an event arrives.
    if let Some(settings) = settings.filter(|school| !school.groups.is_empty()) {
        let everything = SyncRequest {
            full: true,
            accept: false,
        };
        let id = markback.sync().ask(&settings, everything).await?;
        let entry = NewAuditEntry::new(AuditAction::SyncStarted, &Caller::default(), "webhook");
        let entry = entry.school(school).subject(id);
        markback.audit_log().change(entry).await?;
    }
    Ok("the school's MIS is read again")
}

/// Forgets everything about the school's connection and ends its pause. If the cause remains, the school is paused
/// again.
async fn go_on(markback: &Markback, school: &SchoolId) -> outbox::Result<()> {
    if let Some(settings) = markback.school(school) {
        markback.schools().forget_token(&settings);
    }
    markback.schools().forget(school);
    let mut tx = markback.store().database().begin().await?;
    markback.store().end_pause(&mut tx, school.as_str()).await?;
    tx.commit().await
}

/// Text shortened and without control characters; `None` if nothing is left.
fn word(text: &str) -> Option<String> {
    let word: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(WORD_MAX)
        .collect();
    let word = word.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

/// A time as text, or in Wonde's form: `{"date": "2026-11-23 00:00:00.000000", …}`.
fn time(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => word(text),
        Value::Object(time) => time.get("date")?.as_str().and_then(word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Some("0123456789abcdef"), "0123456789abcdef", true)]
    #[case(Some("0123456789abcdef"), "0123456789abcdeF", false)]
    #[case(Some("0123456789abcdef"), "0123456789abcdef\0", false)]
    #[case(Some("0123456789abcdef"), "", false)]
    #[case(None, "", false)]
    #[case(None, "0123456789abcdef", false)]
    fn only_the_secret_opens(
        #[case] secret: Option<&str>,
        #[case] shown: &str,
        #[case] opens: bool,
    ) {
        let secret = WebhookSecret(secret.map(|secret| secret.to_owned().into()));
        assert_eq!(secret.matches(shown), opens);
    }

    #[test]
    fn a_secret_that_begins_alike_is_not_the_secret() {
        let long = "s".repeat(SECRET_MAX);
        let secret = WebhookSecret(Some(long.clone().into()));
        assert!(secret.matches(&long));
        assert!(!secret.matches(&format!("{long}s")));
        let longer = WebhookSecret(Some(format!("{long}s").into()));
        assert!(!longer.matches(&long) && !longer.matches(&format!("{long}s")));
    }

    #[rstest]
    #[case(r#"{"payload_type":"writeback","writeback_id":17}"#, "writeback")]
    #[case(r#"{"payload_type":"writeback"}"#, "other")]
    #[case(
        r#"{"payload_type":"accessRevoked","school_id":"A1"}"#,
        "accessRevoked"
    )]
    #[case(
        r#"{"payload_type":"accessDeclined","school_id":"A1"}"#,
        "accessDeclined"
    )]
    #[case(r#"{"payload_type":"accessDeclined"}"#, "other")]
    #[case(r#"{"payload_type":"weather","school_id":"A1"}"#, "other")]
    #[case("[]", "other")]
    #[case("3", "other")]
    fn what_is_not_known_is_passed_over(#[case] body: &str, #[case] read: &str) {
        assert_eq!(Hook::read(body.as_bytes()).unwrap().payload_type(), read);
    }

    #[test]
    fn the_token_in_a_webhook_is_not_shown() {
        let body = r#"{"payload_type":"schoolApproved","school_id":"A1","school_name":"Hill","school_token":"hush"}"#;
        let hook = Hook::read(body.as_bytes()).unwrap();
        assert!(!format!("{hook:?}").contains("hush"));
        let Hook::Approved(approval) = hook else {
            panic!("{hook:?}");
        };
        assert_eq!(approval.school, SchoolId::from("A1"));
        assert_eq!(approval.name.as_deref(), Some("Hill"));
        assert_eq!(approval.token.unwrap().expose_secret(), "hush");
    }
}
