//! The visitor's own account: who they are, and another password.

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
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

use super::{
    connections::{choice::Fields, reach, schools_told, users::password_in},
    sign_in::{Peer, browser_of, refused, secrecy_len, sentence},
};
use crate::{
    error::PageError,
    layout::{Frame, html},
    session,
    visitor::Visitor,
};

/// The address of the page.
const HERE: &str = "/account";
const WRONG: &str = "The current password is wrong.";

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

async fn page(visitor: Visitor, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    drawn(&visitor, asked.done == "password", None)
}

fn drawn(
    visitor: &Visitor,
    is_changed: bool,
    problem: Option<String>,
) -> Result<Response, PageError> {
    html(&Page {
        frame: Frame::new("Your account", Some(visitor)),
        name: visitor.user.clone(),
        role: visitor.role.as_str(),
        about: visitor.role.about(),
        schools: schools_told(reach(visitor).schools()),
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
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let wrong = |problem: String, status: StatusCode| {
        let mut response = drawn(&visitor, false, Some(problem))?;
        *response.status_mut() = status;
        Ok(response)
    };
    let unfit = StatusCode::UNPROCESSABLE_ENTITY;
    let fields = Fields(fields);
    let new = match password_in(&fields) {
        Ok(new) => new,
        Err(problem) => return wrong(problem, unfit),
    };
    // With its spaces, as it was typed.
    let old: SecretString = fields.all("old").next().unwrap_or_default().into();
    if secrecy_len(&old) > PASSWORD_MAX {
        return wrong(WRONG.to_owned(), unfit);
    }
    let attempt = Attempt {
        name: visitor.user.clone(),
        password: old,
        peer,
        browser: browser_of(&headers),
    };
    let changed = markback.users().change_password(attempt, &new);
    match changed.await {
        Ok(signed_in) => {
            session::begin(&markback, &session, &signed_in).await?;
            Ok(Redirect::to(&format!("{HERE}?done=password")).into_response())
        }
        Err(ChangePasswordError::New(UserError::Invalid { message, help, .. })) => {
            wrong(format!("The new password: {message}; {help}."), unfit)
        }
        Err(ChangePasswordError::Old(SignInError::Wrong)) => wrong(WRONG.to_owned(), unfit),
        Err(ChangePasswordError::Old(error)) => {
            let (words, status, again) = refused(error)?;
            let mut response = wrong(words, status)?;
            if let Some(seconds) = again {
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, seconds.into());
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
