//! Signing in and out.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use askama::Template;
use axum::{
    Form, Router,
    extract::{ConnectInfo, FromRequestParts, Query, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use markback::{
    audit_log::AuditAction,
    service::Markback,
    users::{Attempt, PASSWORD_MAX, SignInError},
};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::{Session, cookie::Cookie};

use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, html},
    session::{self, FormToken},
    visitor::{SIGN_IN, Visitor},
};

/// The cookie by which a browser is known in which somebody has signed in before. It opens nothing.
const BROWSER: &str = "__Host-markback-browser";
/// The length of its random text: 128 bits in hex.
const BROWSER_LEN: usize = 32;
/// How long browsers keep it, in seconds: 400 days, the most that they do.
const BROWSER_AGE: u32 = 400 * 24 * 60 * 60;
/// The longest name that is looked at, in bytes.
const NAME_MAX: usize = 200;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route(SIGN_IN, get(page).post(sign_in))
        .route("/sign-out", post(sign_out))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    frame: Frame,
    problem: Option<String>,
    name: String,
    back: String,
    token: FormToken,
    has_users: bool,
}

#[derive(Deserialize)]
struct Back {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Filled {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: SecretString,
    #[serde(default)]
    next: String,
    #[serde(default)]
    csrf: String,
}

/// What a page says besides the form.
#[derive(Default)]
struct Said {
    problem: Option<String>,
    name: String,
    next: String,
    status: StatusCode,
    again: Option<u32>,
}

async fn page(
    State(markback): State<Markback>,
    visitor: Option<Visitor>,
    Query(Back { next }): Query<Back>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    if visitor.is_some() {
        return Ok(Redirect::to(own_path(&next)).into_response());
    }
    let said = Said {
        next,
        ..Said::default()
    };
    form(&markback, &headers, said).await
}

/// The form, with a cookie for a browser that has none.
async fn form(markback: &Markback, headers: &HeaderMap, said: Said) -> Result<Response, PageError> {
    let (browser, is_new) = match browser_of(headers) {
        Some(known) => (known, false),
        None => (format!("{:032x}", rand::random::<u128>()), true),
    };
    let mut response = html(&Page {
        frame: Frame::new("Sign in", None),
        problem: said.problem,
        name: said.name,
        back: own_path(&said.next).to_owned(),
        token: FormToken::of("sign-in", &browser),
        has_users: markback.users().are_any().await?,
    })?;
    *response.status_mut() = said.status;
    let answer = response.headers_mut();
    if let Some(seconds) = said.again {
        answer.insert(header::RETRY_AFTER, seconds.into());
    }
    if is_new {
        let cookie = format!(
            "{BROWSER}={browser}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={BROWSER_AGE}"
        );
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.append(header::SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

async fn sign_in(
    State(markback): State<Markback>,
    session: Session,
    request: Request,
) -> Result<Response, PageError> {
    let headers = request.headers().clone();
    let peer = peer_of(request.extensions());
    // A layer of the host may have let this request in without having looked where it comes from.
    if !session::is_from_us(&headers) {
        return Err(PageError::new(ErrorKind::Forbidden));
    }
    let Form(filled): Form<Filled> = axum::RequestExt::extract(request)
        .await
        .map_err(|_| PageError::new(ErrorKind::Invalid))?;
    let browser = browser_of(&headers);
    let token = browser
        .as_deref()
        .map(|known| FormToken::of("sign-in", known));
    let said = |problem: String, status| Said {
        problem: Some(problem),
        name: filled.name.chars().take(NAME_MAX).collect(),
        next: filled.next.clone(),
        status,
        again: None,
    };
    if !token.is_some_and(|token| token.is(&filled.csrf)) {
        let problem = "The form was too old, or the browser keeps no cookies for this site. Try again; the address must \
             begin with https.";
        return form(
            &markback,
            &headers,
            said(problem.to_owned(), StatusCode::FORBIDDEN),
        )
        .await;
    }
    if filled.name.len() > NAME_MAX || secrecy_len(&filled.password) > PASSWORD_MAX {
        let problem = SignInError::Wrong.to_string();
        let said = said(sentence(&problem), StatusCode::UNPROCESSABLE_ENTITY);
        return form(&markback, &headers, said).await;
    }
    let attempt = Attempt {
        name: filled.name.clone(),
        password: filled.password.clone(),
        peer,
        browser,
    };
    let signed_in = match markback.users().sign_in(attempt).await {
        Ok(signed_in) => signed_in,
        Err(error) => {
            let (words, status, again) = refused(error)?;
            let said = Said {
                again,
                ..said(words, status)
            };
            return form(&markback, &headers, said).await;
        }
    };
    session::begin(&markback, &session, &signed_in).await?;
    Ok(Redirect::to(own_path(&filled.next)).into_response())
}

/// Why a password was not accepted: words, status, and when to try again, in seconds.
pub(super) fn refused(error: SignInError) -> Result<(String, StatusCode, Option<u32>), PageError> {
    let (status, again) = match error {
        SignInError::Store(error) => return Err(error.into()),
        SignInError::Slowed(seconds) => (StatusCode::TOO_MANY_REQUESTS, Some(seconds)),
        SignInError::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, None),
    };
    Ok((sentence(&error.to_string()), status, again))
}

async fn sign_out(
    State(markback): State<Markback>,
    session: Session,
    visitor: Visitor,
) -> Result<Response, PageError> {
    session::end(&session).await?;
    let entry = visitor.entry(AuditAction::UserSignedOut);
    markback
        .audit_log()
        .change(entry.subject(&visitor.user))
        .await?;
    Ok(Redirect::to(SIGN_IN).into_response())
}

fn peer_of(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(address)| address.ip())
}

/// The address from which the connection comes, if known.
pub(super) struct Peer(pub(super) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(peer_of(&parts.extensions)))
    }
}

pub(super) fn secrecy_len(password: &SecretString) -> usize {
    secrecy::ExposeSecret::expose_secret(password).len()
}

/// The random text that a browser keeps, if it has the form of one.
pub(super) fn browser_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut cookies = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| Cookie::split_parse(text.to_owned()).filter_map(Result::ok));
    let found = cookies.find(|cookie| cookie.name() == BROWSER)?;
    let text = found.value();
    let is_one = text.len() == BROWSER_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| text.to_owned())
}

/// Where to go after the sign-in: a page of ours, whatever the address asks for.
pub(crate) fn own_path(next: &str) -> &str {
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_own = next.starts_with('/') && !next.starts_with("//") && !next.starts_with(SIGN_IN);
    if is_plain && is_own { next } else { "/" }
}

/// Words as a sentence.
pub(super) fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed assertion may panic")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "/schools/A1/today?date=2026-11-23",
        "/schools/A1/today?date=2026-11-23"
    )]
    #[case("", "/")]
    #[case("//evil.example", "/")]
    #[case("/\\evil.example", "/")]
    #[case("https://evil.example", "/")]
    #[case("javascript:alert(1)", "/")]
    #[case("/a\nb", "/")]
    #[case("/sign-in?next=/", "/")]
    fn only_own_pages_follow_the_sign_in(#[case] next: &str, #[case] path: &str) {
        assert_eq!(own_path(next), path);
    }

    #[rstest]
    #[case(Some("__Host-markback-browser=00112233445566778899aabbccddeeff"), true)]
    #[case(
        Some("x=1; __Host-markback-browser=00112233445566778899aabbccddeeff"),
        true
    )]
    #[case(Some("__Host-markback-browser=0011"), false)]
    #[case(
        Some("__Host-markback-browser=zz112233445566778899aabbccddeeff"),
        false
    )]
    #[case(Some("markback-browser=00112233445566778899aabbccddeeff"), false)]
    #[case(None, false)]
    fn a_browser_is_known_by_its_cookie(#[case] cookie: Option<&'static str>, #[case] known: bool) {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
        }
        assert_eq!(browser_of(&headers).is_some(), known);
    }
}
