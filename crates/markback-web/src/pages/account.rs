//! The visitor's own account: who they are, and another password.

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use markback::{
    service::Markback,
    users::{Attempt, ChangePasswordError, PASSWORD_MAX, SignInError, UserError},
};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::sign_in::{Peer, browser_of, refused, secrecy_len, sentence};
use crate::{
    error::PageError,
    layout::{Frame, html},
    session,
    visitor::{SchoolsSeen, Visitor},
};

/// The address of the page.
const HERE: &str = "/account";

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route(HERE, get(page))
        .route("/account/password", post(change))
}

#[derive(Template)]
#[template(path = "account.html")]
struct Page {
    frame: Frame,
    name: String,
    role: &'static str,
    about: &'static str,
    schools: String,
    is_changed: bool,
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    done: String,
}

#[derive(Deserialize)]
struct Filled {
    #[serde(default)]
    old: SecretString,
    #[serde(default)]
    password: SecretString,
    #[serde(default)]
    again: SecretString,
}

async fn page(visitor: Visitor, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    drawn(&visitor, asked.done == "password", None)
}

fn drawn(
    visitor: &Visitor,
    is_changed: bool,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let schools = match &visitor.schools {
        SchoolsSeen::All => "all schools".to_owned(),
        SchoolsSeen::Some(schools) => {
            let ids: Vec<_> = schools.iter().map(mis_core::SchoolId::as_str).collect();
            ids.join(", ")
        }
    };
    html(&Page {
        frame: Frame::new("Your account", Some(visitor)),
        name: visitor.user.clone(),
        role: visitor.role.as_str(),
        about: visitor.role.about(),
        schools,
        is_changed,
        problem,
    })
}

async fn change(
    State(markback): State<Markback>,
    session: Session,
    visitor: Visitor,
    Peer(peer): Peer,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> Result<Response, PageError> {
    let wrong = |problem: String, status: StatusCode| {
        let mut response = drawn(&visitor, false, Some(problem))?;
        *response.status_mut() = status;
        Ok(response)
    };
    let unfit = StatusCode::UNPROCESSABLE_ENTITY;
    if !is_same(&filled.password, &filled.again) {
        let problem = "The two new passwords differ. Type the same one twice.";
        return wrong(problem.to_owned(), unfit);
    }
    if secrecy_len(&filled.old) > PASSWORD_MAX {
        return wrong(WRONG.to_owned(), unfit);
    }
    let old = Attempt {
        name: visitor.user.clone(),
        password: filled.old,
        peer,
        browser: browser_of(&headers),
    };
    let changed = markback.users().change_password(old, &filled.password);
    match changed.await {
        Ok(signed_in) => {
            session::begin(&markback, &session, &signed_in).await?;
            Ok(Redirect::to("/account?done=password").into_response())
        }
        Err(ChangePasswordError::New(UserError::Invalid { message, help, .. })) => {
            wrong(format!("The new password: {message}; {help}."), unfit)
        }
        Err(ChangePasswordError::Old(SignInError::Wrong)) => wrong(WRONG.to_owned(), unfit),
        Err(ChangePasswordError::Old(error)) => {
            let (words, status, again) = refused(error)?;
            let mut response = wrong(words, status)?;
            if let Some(seconds) = again {
                let seconds = HeaderValue::from(seconds);
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            Ok(response)
        }
        Err(ChangePasswordError::New(UserError::Store(error))) => Err(error.into()),
        Err(error) => wrong(
            sentence(&error.to_string()),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    }
}

const WRONG: &str = "The current password is wrong.";

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    use secrecy::ExposeSecret as _;
    one.expose_secret() == other.expose_secret()
}
