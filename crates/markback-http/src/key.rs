//! The guard of the API: whose key a request shows, what that key may do, and which schools exist for it.
//!
//! What a key may not see does not exist for it: another school gets the answer of an unknown one, before the body is
//! read. A missing scope is answered with 403, but only at schools that the key sees.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    error::{ApiError, Kind, STORE_AGAIN},
    key_rates::KeyRates,
    wrong_keys::WrongKeys,
};
use markback::{
    audit_log::{AuditAction, Caller, NewAuditEntry},
    keys::{Grant, Hash, Scope, Verified},
    metrics,
    operator::Actor,
    service::Markback,
};

/// The interface in the audit log and the events' histories.
const VIA: &str = "API";
/// The public part that stands for the key of the settings in the audit log.
const OF_SETTINGS: &str = "settings";

/// Who asks, and what exists for them.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) caller: Caller,
    pub(super) grant: Grant,
    /// When their key stops; `None` for never.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl Access {
    /// The author of a change, with the name and the reason that they give.
    pub(super) fn actor(&self, by: Option<String>, note: Option<String>) -> Actor {
        Actor {
            by: by.or_else(|| self.caller.name.clone()),
            via: VIA,
            note,
            caller: self.caller.clone(),
        }
    }

    /// Whether their key is still valid, for an answer that takes long.
    pub(super) async fn is_valid(&self, markback: &Markback) -> bool {
        match self.caller.key.as_deref() {
            Some(OF_SETTINGS) => true,
            Some(id) => markback.keys().is_valid(id).await.unwrap_or(false),
            None => false,
        }
    }

    /// An entry of the audit log about what they do.
    pub(super) fn entry(&self, action: AuditAction) -> NewAuditEntry {
        NewAuditEntry::new(action, &self.caller, VIA)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Access {
    type Rejection = Infallible;

    /// A route that is not guarded gives access to nothing.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let found = parts.extensions.get::<Self>();
        Ok(found.cloned().unwrap_or_else(|| Self {
            caller: Caller::default(),
            grant: Grant::nothing(),
            expires_at: None,
        }))
    }
}

/// Records a look in the audit log, before what is shown.
pub(super) async fn record(markback: &Markback, look: NewAuditEntry) -> Result<(), ApiError> {
    markback.audit_log().look(look).await.map_err(|error| {
        tracing::error!(%error, "looks cannot be written into the audit log, so nothing is shown");
        ApiError::unavailable(
            "the database cannot be reached, so the look cannot be recorded; try again",
            STORE_AGAIN,
        )
    })
}

/// Checks the keys of requests.
#[derive(Clone)]
pub(super) struct Guard(Arc<Inner>);

struct Inner {
    markback: Markback,
    /// The key that the settings name, if they do. It may do everything.
    of_settings: Option<Hash>,
    wrong_keys: WrongKeys,
    rates: KeyRates,
}

impl Guard {
    pub(super) fn new(
        markback: Markback,
        of_settings: Option<&SecretString>,
        rates: KeyRates,
    ) -> Self {
        Self(Arc::new(Inner {
            rates,
            of_settings: of_settings.map(|key| Hash::of(key.expose_secret().as_bytes())),
            wrong_keys: WrongKeys::new(markback.clock().clone()),
            markback,
        }))
    }

    /// The access of a key; `None` if it is wrong.
    async fn access(&self, shown: &[u8]) -> outbox::Result<Option<Access>> {
        let of_settings = self.0.of_settings.as_ref();
        if of_settings.is_some_and(|key| key.equals(&Hash::of(shown))) {
            return Ok(Some(Access {
                caller: Caller::of_key(OF_SETTINGS, "the key of the settings"),
                grant: Grant::everything(),
                expires_at: None,
            }));
        }
        let verified = self.0.markback.keys().verify(shown).await?;
        let access = |verified: Verified| Access {
            caller: verified.caller,
            grant: verified.grant,
            expires_at: verified.expires_at,
        };
        Ok(verified.map(access))
    }

    /// The answer to a request with a wrong key or without one.
    fn rejected(&self, request: &Request, shown: Option<&[u8]>) -> ApiError {
        let slowed = self.0.wrong_keys.count(request.extensions(), shown);
        metrics::wrong_key(slowed.is_some());
        match (slowed, shown) {
            (Some(seconds), _) => ApiError::too_many(
                "too many requests with a wrong key come from this address; a right one is served at once",
                seconds,
            ),
            (None, Some(_)) => invalid(),
            (None, None) => ApiError::unauthorised(
                "no bearer key; send the header Authorization: Bearer and a key that `markback keys add` has made",
            ),
        }
    }

    /// Counts a request with a right key.
    ///
    /// # Errors
    /// Returns the answer if the key has sent too many.
    fn count(&self, access: &Access) -> Result<(), ApiError> {
        let key = access.caller.key.as_ref();
        let Some(seconds) = key.and_then(|key| self.0.rates.count(key)) else {
            return Ok(());
        };
        metrics::turned_away("key_rate");
        Err(ApiError::too_many(
            "this key has sent more requests than `http.key_rate` and `http.key_burst` in the settings allow; send this one \
             again later, or send events in lists",
            seconds,
        ))
    }

    /// Whether the settings have the school. For its administration, a draft and a school that was removed count too.
    async fn is_known(&self, school: &SchoolId, pattern: &str) -> outbox::Result<bool> {
        if self.0.markback.settings().school(school).is_some() {
            return Ok(true);
        }
        if !is_administration(pattern) {
            return Ok(false);
        }
        let configuration = self.0.markback.configuration().await;
        configuration.is_kept(&school.into()).await
    }
}

/// The answer to a key that is not valid, or not any more.
pub(super) fn invalid() -> ApiError {
    ApiError::unauthorised(
        "this bearer key is wrong, has expired or was revoked; `markback keys ls` lists those that are right",
    )
}

/// Rejects requests that their key does not allow, before the body is read.
pub(super) async fn guard(
    State(guard): State<Guard>,
    pattern: MatchedPath,
    params: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let shown = bearer(request.headers());
    let access = match shown {
        Some(shown) => guard
            .access(shown)
            .await
            .map_err(|error| ApiError::no_database(&error, "try again"))?,
        None => None,
    };
    let Some(access) = access else {
        return Err(guard.rejected(&request, shown));
    };
    guard.count(&access)?;
    let params = params.map_err(|_| ApiError::unreadable_address())?;
    let school = params.iter().find(|(name, _)| *name == "school");
    if let Some((_, school)) = school {
        let school = SchoolId::from(school);
        // In this order, so that a school that the key does not see takes the same time whether it exists or not.
        if !access.grant.sees(&school) {
            return Err(ApiError::unknown_school());
        }
        let known = guard.is_known(&school, pattern.as_str()).await;
        if !known.map_err(|error| ApiError::no_database(&error, "try again"))? {
            return Err(ApiError::unknown_school());
        }
    }
    let needed = needed(request.method().as_str(), pattern.as_str());
    if !access.grant.allows(needed) {
        return Err(ApiError::new(
            Kind::Forbidden,
            format!("this key lacks the scope {needed}; use a key that has it"),
        ));
    }
    request.extensions_mut().insert(access);
    Ok(next.run(request).await)
}

/// Whether a route is about a school's settings as a whole, so that it may have none that rule.
fn is_administration(pattern: &str) -> bool {
    let rest = pattern.strip_prefix("/v1/schools/{school}");
    let mut parts = rest.unwrap_or_default().split('/').skip(1);
    rest.is_some() && matches!(parts.next(), None | Some("settings" | "token"))
}

/// The scope that a route needs. One that is not listed needs [`Scope::Admin`].
pub(super) fn needed(method: &str, pattern: &str) -> Scope {
    let reads = ["GET", "HEAD"]
        .iter()
        .any(|word| method.eq_ignore_ascii_case(word));
    if pattern == "/v1/feed" || pattern.starts_with("/v1/feed/") {
        return Scope::EventsRead;
    }
    // What hosts see of the schools: their state, and what their MISs can keep.
    if reads && ["/v1/schools", "/v1/schools/{school}", "/v1/adapters"].contains(&pattern) {
        return Scope::EventsRead;
    }
    let Some(rest) = pattern.strip_prefix("/v1/schools/{school}/") else {
        return Scope::Admin;
    };
    match (rest.split('/').next().unwrap_or_default(), reads) {
        ("events" | "problems" | "adapter", true) | ("explain", false) => Scope::EventsRead,
        ("events" | "corrections" | "problems", false) => Scope::EventsWrite,
        ("groups" | "syncs", true) => Scope::GroupsRead,
        // There is no scope for reading settings alone: they say how the rules can be got around.
        ("settings", _) | ("sync" | "doctor" | "resume", false) => Scope::SettingsWrite,
        _ => Scope::Admin,
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
    #[case("Bearer hush", Some("hush"))]
    #[case("bearer  hush ", Some("hush"))]
    #[case("Bearer ", Some(""))]
    #[case("Basic hush", None)]
    #[case("hush", None)]
    #[case("", None)]
    fn a_bearer_key_is_read(#[case] header: &str, #[case] key: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, header.parse().unwrap());
        assert_eq!(bearer(&headers), key.map(str::as_bytes));
    }

    #[rstest]
    #[case("/v1/schools/{school}", true)]
    #[case("/v1/schools/{school}/settings/draft", true)]
    #[case("/v1/schools/{school}/token", true)]
    #[case("/v1/schools/{school}/events", false)]
    #[case("/v1/schools", false)]
    fn a_draft_is_known_where_settings_are_administered(#[case] pattern: &str, #[case] is: bool) {
        assert_eq!(is_administration(pattern), is);
    }

    #[rstest]
    #[case("GET", "/v1/schools/{school}/events/{event}", Scope::EventsRead)]
    #[case("POST", "/v1/schools/{school}/events", Scope::EventsWrite)]
    #[case(
        "POST",
        "/v1/schools/{school}/events/{event}/retry",
        Scope::EventsWrite
    )]
    #[case("GET", "/v1/schools/{school}/problems", Scope::EventsRead)]
    #[case(
        "POST",
        "/v1/schools/{school}/problems/{cause}/{action}",
        Scope::EventsWrite
    )]
    #[case(
        "GET",
        "/v1/schools/{school}/groups/{group}/changes",
        Scope::GroupsRead
    )]
    #[case("GET", "/v1/schools/{school}/syncs/{sync}", Scope::GroupsRead)]
    #[case("POST", "/v1/schools/{school}/sync", Scope::SettingsWrite)]
    #[case("GET", "/v1/audit", Scope::Admin)]
    #[case("GET", "/v1/feed/stream", Scope::EventsRead)]
    #[case("GET", "/v1/webhook-endpoints", Scope::Admin)]
    #[case("GET", "/v1/schools", Scope::EventsRead)]
    #[case("POST", "/v1/schools", Scope::Admin)]
    #[case("GET", "/v1/schools/{school}", Scope::EventsRead)]
    #[case("DELETE", "/v1/schools/{school}", Scope::Admin)]
    #[case("POST", "/v1/schools/{school}/adopt", Scope::Admin)]
    #[case("PUT", "/v1/schools/{school}/token", Scope::Admin)]
    #[case("GET", "/v1/schools/{school}/settings", Scope::SettingsWrite)]
    #[case("POST", "/v1/schools/{school}/settings/activate", Scope::SettingsWrite)]
    #[case("POST", "/v1/schools/{school}/explain", Scope::EventsRead)]
    #[case("PUT", "/v1/schools/{school}/sync/pause", Scope::SettingsWrite)]
    #[case("GET", "/v1/templates", Scope::Admin)]
    #[case("GET", "/v1/schools/{school}/something-new", Scope::Admin)]
    fn each_route_needs_one_scope(
        #[case] method: &str,
        #[case] pattern: &str,
        #[case] scope: Scope,
    ) {
        assert_eq!(needed(method, pattern), scope);
    }
}
