//! Who is signed in: the cookie, the session behind it, and the check of each request that may change something.
//!
//! A session is found by its cookie and lasts as long as [`markback::users::sessions`] says. A request that may change
//! something comes from our own pages, by what the browser says of its origin, and has the token of its session, which only
//! our pages know.

use std::{collections::HashMap, fmt, future::Future};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use markback::{
    service::Markback,
    users::{
        SignedIn, User,
        sessions::{self, SessionRecord},
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tower_sessions::{
    Session, SessionManagerLayer, SessionStore,
    cookie::{SameSite, time::OffsetDateTime},
    session::{Id, Record},
    session_store,
};
use url::{Url, form_urlencoded};

use crate::{
    error::{ErrorKind, PageError},
    visitor::{SIGN_IN, Visitor},
};

/// Its prefix makes browsers take it only over TLS, for all paths and for no other host.
const COOKIE: &str = "__Host-markback";
/// The field of a form that has the token.
pub(crate) const TOKEN_FIELD: &str = "csrf";
/// The use of a session is written at most this often.
const USE_EVERY_MS: i64 = 60_000;
/// How often another id is tried, which is never needed.
const ID_TRIES: usize = 3;

const NAME: &str = "name";
const STAMP: &str = "stamp";
const SEEN: &str = "seen";

/// What a form of a session has, so that nobody else can make one. Nothing in its `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FormToken(String);

impl FormToken {
    /// The token of whoever has this secret, for one kind of form.
    pub(crate) fn of(kind: &str, secret: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [kind, "\0", secret] {
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        Self(digest.iter().fold(String::new(), |mut text, byte| {
            use fmt::Write as _;
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// Whether a form has it. Compared in constant time.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormToken")
    }
}

impl fmt::Display for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sessions in the service's database. Its clock and its settings decide how long they last.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(Markback);

/// The layer that finds the session of a request.
pub(crate) fn layer(markback: &Markback) -> SessionManagerLayer<Sessions> {
    SessionManagerLayer::new(Sessions(markback.clone()))
        .with_name(COOKIE)
        .with_secure(true)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
}

fn stored(record: &Record) -> session_store::Result<SessionRecord> {
    let encode = |what: &str| session_store::Error::Encode(what.to_owned());
    let number = |key| record.data.get(key).and_then(Value::as_i64);
    let name = record.data.get(NAME).and_then(Value::as_str);
    Ok(SessionRecord {
        name: name
            .ok_or_else(|| encode("a session without a name"))?
            .to_owned(),
        stamp: number(STAMP).ok_or_else(|| encode("a session without a stamp"))?,
        seen_ms: number(SEEN).ok_or_else(|| encode("a session without a time"))?,
        data: serde_json::to_string(&record.data).map_err(|_| encode("its data"))?,
    })
}

async fn written<T>(done: impl Future<Output = outbox::Result<T>>) -> session_store::Result<T> {
    done.await
        .map_err(|error| session_store::Error::Backend(error.to_string()))
}

#[async_trait::async_trait]
impl SessionStore for Sessions {
    /// Always by a new id, whatever the record had before: nobody chooses the id of a session.
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let session = stored(record)?;
        for _ in 0..ID_TRIES {
            record.id = Id::default();
            let id = record.id.to_string();
            let begun = sessions::begin(self.0.store(), id.as_bytes(), &session);
            if written(begun).await? {
                return Ok(());
            }
        }
        Err(session_store::Error::Backend(
            "every new id of a session is in use".to_owned(),
        ))
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let (id, session) = (record.id.to_string(), stored(record)?);
        written(sessions::save(self.0.store(), id.as_bytes(), &session)).await
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let limits = self.0.settings().service.pages.limits();
        let text = id.to_string();
        let found = written(sessions::load(self.0.store(), text.as_bytes(), limits)).await?;
        let Some(found) = found else { return Ok(None) };
        let data: HashMap<String, Value> = serde_json::from_str(&found.data)
            .map_err(|_| session_store::Error::Decode("the data of a session".to_owned()))?;
        Ok(Some(Record {
            id: *id,
            data,
            // The database was asked for a session that lasts; nobody looks at this.
            expiry_date: OffsetDateTime::UNIX_EPOCH,
        }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let id = id.to_string();
        written(sessions::end(self.0.store(), id.as_bytes())).await
    }
}

fn unreachable(error: &tower_sessions::session::Error) -> PageError {
    tracing::error!(%error, "a session cannot be read or written");
    PageError::new(ErrorKind::Unavailable)
}

/// Begins the session of somebody who has just signed in; one that there was ends.
pub(crate) async fn begin(
    markback: &Markback,
    session: &Session,
    signed_in: &SignedIn,
) -> Result<(), PageError> {
    end(session).await?;
    let values = [
        (NAME, json!(signed_in.user.name)),
        (STAMP, json!(signed_in.stamp)),
        (SEEN, json!(markback.store().now_ms())),
    ];
    for (key, value) in values {
        let inserted = session.insert_value(key, value).await;
        inserted.map_err(|error| unreachable(&error))?;
    }
    // Now, so that a database that cannot be reached is told as such.
    session.save().await.map_err(|error| unreachable(&error))
}

/// Ends a session.
pub(crate) async fn end(session: &Session) -> Result<(), PageError> {
    if session.id().is_some() {
        let ended = session.flush().await;
        ended.map_err(|error| unreachable(&error))?;
    }
    Ok(())
}

/// Adds the [`Visitor`] of the session to a request, and rejects one that may change something and is not from our pages.
///
/// If a layer of the host has added a visitor already, the host has a sign-in of its own, and checks forms itself.
pub(crate) async fn visit(
    State(markback): State<Markback>,
    session: Session,
    mut request: Request,
    next: Next,
) -> Response {
    if request.extensions().get::<Visitor>().is_some() {
        return next.run(request).await;
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_from_us(request.headers()) {
        return PageError::new(ErrorKind::Forbidden)
            .detail("The form does not come from this site, so nothing was done. Open the page again and use its buttons.")
            .into_response();
    }
    let visitor = match visitor(&markback, &session, is_use(request.headers())).await {
        Ok(visitor) => visitor,
        Err(error) => return error.into_response(),
    };
    if let Some(visitor) = visitor {
        // The form to sign in has a token of its own, since there is no session yet.
        if changes && request.uri().path() != SIGN_IN {
            let body_max = markback.settings().service.http.body_max;
            request = match with_token(request, &visitor.form, body_max).await {
                Ok(request) => request,
                Err(error) => return error.into_response(),
            };
        }
        request.extensions_mut().insert(visitor);
    }
    next.run(request).await
}

/// The visitor of a session, whose use is noted.
async fn visitor(
    markback: &Markback,
    session: &Session,
    is_use: bool,
) -> Result<Option<Visitor>, PageError> {
    let name: Option<String> = session
        .get(NAME)
        .await
        .map_err(|error| unreachable(&error))?;
    let (Some(name), Some(id)) = (name, session.id()) else {
        return Ok(None);
    };
    let user: Option<User> = markback.store().user(&name).await?;
    let Some(user) = user.filter(|user| user.disabled_at.is_none()) else {
        return Ok(None);
    };
    let now = markback.store().now_ms();
    let seen: Option<i64> = session
        .get(SEEN)
        .await
        .map_err(|error| unreachable(&error))?;
    if is_use && seen.is_none_or(|seen| now - seen >= USE_EVERY_MS) {
        let noted = session.insert(SEEN, now).await;
        noted.map_err(|error| unreachable(&error))?;
    }
    let form = FormToken::of("page", &id.to_string());
    Ok(Some(Visitor::of(&user, form)))
}

/// Whether somebody opened or sent a page, rather than a page freshening itself.
fn is_use(headers: &HeaderMap) -> bool {
    let mode = headers.get("sec-fetch-mode");
    mode.is_none_or(|mode| mode.as_bytes() == b"navigate")
}

/// Whether a request comes from our own pages, by what the browser says: pages cannot forge these headers.
pub(crate) fn is_from_us(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    let origin = headers.get(header::ORIGIN);
    if site.is_some_and(|site| site.as_bytes() != b"same-origin") {
        return false;
    }
    match origin {
        Some(origin) => {
            let own = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok());
            let origin = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
            own.is_some() && origin.as_ref().and_then(authority).as_deref() == own
        }
        // Browsers that are older than one of the headers send the other with every form.
        None => site.is_some(),
    }
}

/// Host and port as the header `Host` has them.
fn authority(origin: &Url) -> Option<String> {
    let host = origin.host_str()?;
    Some(match origin.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// The request, if its form has the token.
async fn with_token(
    request: Request,
    token: &FormToken,
    body_max: usize,
) -> Result<Request, PageError> {
    let (parts, body) = request.into_parts();
    let read = to_bytes(body, body_max).await;
    let body: Bytes = read.map_err(|_| {
        PageError::new(ErrorKind::Invalid).detail("The form could not be read, or it is too long.")
    })?;
    let mut fields = form_urlencoded::parse(&body);
    let given = fields.find(|(name, _)| name == TOKEN_FIELD);
    if !given.is_some_and(|(_, given)| token.is(&given)) {
        return Err(PageError::new(ErrorKind::Forbidden).detail(
            "The form is not from the present session, so nothing was done. Open the page again and send it once more.",
        ));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed assertion may panic")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[("sec-fetch-site", "same-origin")], true)]
    #[case(&[("sec-fetch-site", "same-site")], false)]
    #[case(&[("sec-fetch-site", "cross-site"), ("origin", "https://hill.example")], false)]
    #[case(&[("sec-fetch-site", "none")], false)]
    #[case(&[("origin", "https://hill.example")], true)]
    #[case(&[("origin", "https://hill.example:8443")], false)]
    #[case(&[("origin", "https://evil.example")], false)]
    #[case(&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false)]
    #[case(&[("origin", "null")], false)]
    #[case(&[], false)]
    fn a_form_is_ours_by_what_the_browser_says(
        #[case] headers: &[(&'static str, &'static str)],
        #[case] ours: bool,
    ) {
        let mut map = HeaderMap::new();
        map.insert("host", "hill.example".parse().unwrap());
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        assert_eq!(is_from_us(&map), ours);
    }

    #[test]
    fn a_form_token_belongs_to_one_session_and_one_kind_of_form() {
        let token = FormToken::of("page", "one");
        assert!(token.is(&FormToken::of("page", "one").to_string()));
        for other in [
            FormToken::of("page", "two"),
            FormToken::of("sign-in", "one"),
            FormToken::default(),
        ] {
            assert!(!token.is(&other.to_string()));
        }
        assert!(!format!("{token:?}").contains(&token.to_string()));
    }
}
