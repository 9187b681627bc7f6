//! The users: adding, changing and removing them.

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use chrono_tz::Tz;
use markback::{
    service::Markback,
    users::{self, NewUser, Role, Task, User, UserError, name_of},
};
use secrecy::SecretString;

use super::{
    Confirm, HERE,
    choice::{Choice, Fields, may_give},
    frame, reach, schools_told, told,
};
use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, html, segment},
    visitor::Visitor,
};

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/connections/users/new", get(form).post(add))
        .route("/connections/users/{user}", get(page))
        .route("/connections/users/{user}/role", post(set_role))
        .route("/connections/users/{user}/password", post(set_password))
        .route(
            "/connections/users/{user}/disable",
            get(ask_disable).post(disable),
        )
        .route(
            "/connections/users/{user}/enable",
            get(ask_enable).post(enable),
        )
        .route(
            "/connections/users/{user}/remove",
            get(ask_remove).post(remove),
        )
}

/// A user in the list.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) shown: String,
    pub(super) role: Role,
    pub(super) schools: String,
    pub(super) state: &'static str,
    pub(super) signed_in: Option<String>,
    pub(super) href: String,
}

pub(super) async fn rows(
    markback: &Markback,
    visitor: &Visitor,
    zone: Tz,
) -> Result<Vec<Row>, PageError> {
    let mut found = markback.store().users().await?;
    let reach = reach(visitor);
    found.retain(|user| reach.sees_all_of(user.schools.as_ref()));
    let rows = found.into_iter().map(|user| Row {
        href: address(&user.name),
        schools: schools_told(user.schools.as_ref()),
        state: user.state(),
        signed_in: told(user.signed_in_at, zone),
        role: user.role,
        name: user.name,
        shown: user.shown,
    });
    Ok(rows.collect())
}

fn address(name: &str) -> String {
    format!("{HERE}/users/{}", segment(name))
}

fn done(word: &str) -> Response {
    Redirect::to(&format!("{HERE}?done={word}")).into_response()
}

struct RoleChoice {
    word: &'static str,
    about: &'static str,
    is_chosen: bool,
}

fn roles(chosen: Option<Role>) -> Vec<RoleChoice> {
    let choice = |role: &Role| RoleChoice {
        word: role.as_str(),
        about: role.about(),
        is_chosen: chosen == Some(*role),
    };
    Role::ALL.iter().map(choice).collect()
}

#[derive(Template)]
#[template(path = "user_new.html")]
struct New {
    frame: Frame,
    problem: Option<String>,
    name: String,
    shown: String,
    roles: Vec<RoleChoice>,
    choice: Choice,
}

#[derive(Template)]
#[template(path = "user.html")]
struct Page {
    frame: Frame,
    problem: Option<String>,
    user: User,
    here: String,
    created: Option<String>,
    signed_in: Option<String>,
    is_own: bool,
    roles: Vec<RoleChoice>,
    choice: Choice,
}

async fn form(State(markback): State<Markback>, visitor: Visitor) -> Result<Response, PageError> {
    visitor.must(Task::ManageUsers)?;
    drawn(&markback, &visitor, &Fields::default(), None)
}

fn drawn(
    markback: &Markback,
    visitor: &Visitor,
    fields: &Fields,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let chosen = if fields.0.is_empty() {
        None
    } else {
        fields.schools()
    };
    let is_wrong = problem.is_some();
    let role = fields.text("role").parse().unwrap_or(Role::Tend);
    let mut response = html(&New {
        frame: frame("Add a user", visitor),
        problem,
        name: fields.text("name").to_owned(),
        shown: fields.text("shown").to_owned(),
        roles: roles(Some(role)),
        choice: Choice::new(markback, visitor, chosen.as_ref()),
    })?;
    if is_wrong {
        *response.status_mut() = ErrorKind::Invalid.status();
    }
    Ok(response)
}

/// What is wrong, in words for the form; an error page if the form cannot help.
fn problem_of(error: UserError) -> Result<String, PageError> {
    match error {
        UserError::Invalid {
            field,
            message,
            help,
        } => Ok(format!("{field}: {message}; {help}.")),
        UserError::Unknown => Err(PageError::new(ErrorKind::NotFound)),
        UserError::Store(error) => Err(error.into()),
        error => Err(PageError::new(ErrorKind::Unavailable).detail(error.to_string())),
    }
}

/// The role in a form. Without one that is known, the form was not ours.
fn role_in(fields: &Fields) -> Result<Role, PageError> {
    let role = fields.text("role").parse();
    role.map_err(|_| PageError::new(ErrorKind::Invalid).detail("Choose a role."))
}

/// The password of a form, with its spaces; the two that were typed are the same.
pub(in crate::pages) fn password_in(fields: &Fields) -> Result<SecretString, String> {
    let typed = |name| fields.all(name).next().unwrap_or_default();
    if typed("password") != typed("again") {
        return Err("The two passwords differ. Type the same one twice.".to_owned());
    }
    Ok(typed("password").into())
}

async fn add(
    State(markback): State<Markback>,
    visitor: Visitor,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    visitor.must(Task::ManageUsers)?;
    let fields = Fields(fields);
    let new = NewUser {
        name: fields.text("name").to_owned(),
        shown: fields.text("shown").to_owned(),
        role: role_in(&fields)?,
        schools: fields.schools(),
    };
    let password =
        may_give(&markback, &visitor, new.schools.as_ref()).and_then(|()| password_in(&fields));
    let problem = match password {
        Err(problem) => problem,
        Ok(password) => {
            let actor = visitor.actor(None);
            match users::add(markback.store(), &new, &password, &actor).await {
                Ok(_) => return Ok(done("user-added")),
                Err(error) => problem_of(error)?,
            }
        }
    };
    drawn(&markback, &visitor, &fields, Some(problem))
}

/// A user who exists for the visitor.
async fn found(markback: &Markback, visitor: &Visitor, name: &str) -> Result<User, PageError> {
    visitor.must(Task::ManageUsers)?;
    let name = name_of(name).unwrap_or_default();
    let found = markback.store().user(&name).await?;
    let reach = reach(visitor);
    found
        .filter(|user| reach.sees_all_of(user.schools.as_ref()))
        .ok_or_else(|| PageError::new(ErrorKind::NotFound))
}

/// The same for a change that must not lock the visitor out.
async fn other(markback: &Markback, visitor: &Visitor, name: &str) -> Result<User, PageError> {
    let user = found(markback, visitor, name).await?;
    if user.name == visitor.user {
        return Err(PageError::new(ErrorKind::Conflict).detail(
            "This is you. Ask another administrator, so that nobody locks themselves out.",
        ));
    }
    Ok(user)
}

async fn page(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
) -> Result<Response, PageError> {
    let user = found(&markback, &visitor, &user).await?;
    shown(&markback, &visitor, user, None)
}

fn shown(
    markback: &Markback,
    visitor: &Visitor,
    user: User,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let zone = super::zone(markback, visitor);
    let is_wrong = problem.is_some();
    let mut response = html(&Page {
        frame: frame(user.shown.clone(), visitor),
        problem,
        here: address(&user.name),
        created: told(user.created_at, zone),
        signed_in: told(user.signed_in_at, zone),
        is_own: user.name == visitor.user,
        roles: roles(Some(user.role)),
        choice: Choice::new(markback, visitor, user.schools.as_ref()),
        user,
    })?;
    if is_wrong {
        *response.status_mut() = ErrorKind::Invalid.status();
    }
    Ok(response)
}

async fn set_role(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let user = other(&markback, &visitor, &user).await?;
    let fields = Fields(fields);
    let (role, schools) = (role_in(&fields)?, fields.schools());
    let problem = match may_give(&markback, &visitor, schools.as_ref()) {
        Err(problem) => problem,
        Ok(()) => {
            let (store, actor) = (markback.store(), visitor.actor(None));
            match users::set_role(store, &user.name, role, schools.as_ref(), &actor).await {
                Ok(_) => return Ok(done("user-changed")),
                Err(error) => problem_of(error)?,
            }
        }
    };
    shown(&markback, &visitor, user, Some(problem))
}

async fn set_password(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let user = other(&markback, &visitor, &user).await?;
    let problem = match password_in(&Fields(fields)) {
        Err(problem) => problem,
        Ok(password) => {
            let (store, actor) = (markback.store(), visitor.actor(None));
            match users::set_password(store, &user.name, &password, &actor).await {
                Ok(_) => return Ok(done("user-password")),
                Err(error) => problem_of(error)?,
            }
        }
    };
    shown(&markback, &visitor, user, Some(problem))
}

fn confirm(
    visitor: &Visitor,
    user: &User,
    verb: &str,
    does: &[&str],
    button: &'static str,
) -> Result<Response, PageError> {
    html(&Confirm {
        frame: frame(format!("{verb} {}?", user.shown), visitor),
        does: does.iter().map(|line| (*line).to_owned()).collect(),
        button,
        back: address(&user.name),
        since: None,
    })
}

async fn ask_disable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
) -> Result<Response, PageError> {
    let user = other(&markback, &visitor, &user).await?;
    let does = [
        "The user is signed out everywhere at once, and cannot sign in until enabled again.",
        "The audit log keeps what the user did.",
    ];
    confirm(&visitor, &user, "Disable", &does, "Disable the user")
}

async fn ask_enable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
) -> Result<Response, PageError> {
    let user = other(&markback, &visitor, &user).await?;
    let does = ["The user can sign in again, with the same password, role and schools."];
    confirm(&visitor, &user, "Enable", &does, "Enable the user")
}

async fn ask_remove(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
) -> Result<Response, PageError> {
    let user = other(&markback, &visitor, &user).await?;
    let does = [
        "The user is signed out everywhere at once, and is gone from the list. This cannot be undone.",
        "The audit log keeps what the user did, under the name for signing in.",
    ];
    confirm(&visitor, &user, "Remove", &does, "Remove the user")
}

async fn set_disabled(
    markback: &Markback,
    visitor: &Visitor,
    user: &str,
    disabled: bool,
) -> Result<Response, PageError> {
    let user = other(markback, visitor, user).await?;
    let (store, actor) = (markback.store(), visitor.actor(None));
    match users::set_disabled(store, &user.name, disabled, &actor).await {
        Ok(_) => Ok(done(if disabled {
            "user-disabled"
        } else {
            "user-enabled"
        })),
        Err(error) => Err(problem_of(error).map_or_else(
            |page| page,
            |words| PageError::new(ErrorKind::Invalid).detail(words),
        )),
    }
}

async fn disable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
) -> Result<Response, PageError> {
    set_disabled(&markback, &visitor, &user, true).await
}

async fn enable(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
) -> Result<Response, PageError> {
    set_disabled(&markback, &visitor, &user, false).await
}

async fn remove(
    State(markback): State<Markback>,
    visitor: Visitor,
    Path(user): Path<String>,
) -> Result<Response, PageError> {
    let user = other(&markback, &visitor, &user).await?;
    match users::remove(markback.store(), &user.name, &visitor.actor(None)).await {
        Ok(()) => Ok(done("user-removed")),
        Err(error) => Err(problem_of(error).map_or_else(
            |page| page,
            |words| PageError::new(ErrorKind::Invalid).detail(words),
        )),
    }
}
