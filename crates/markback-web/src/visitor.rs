//! Who visits the pages, and what exists for them.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, Path},
    http::{Method, request::Parts},
    response::{IntoResponse as _, Redirect, Response},
};
use markback::{
    audit_log::{AuditAction, Caller, NewAuditEntry},
    operator::Actor,
    service::Markback,
    settings::School,
    users::{Denied, Task, User},
};
use mis_core::SchoolId;

pub use markback::users::Role;

use crate::{
    error::{ErrorKind, PageError},
    looks::Looks,
    session::FormToken,
};

/// Where a request without a visitor is sent.
pub const SIGN_IN: &str = "/sign-in";
/// The interface in the audit log and the events' histories.
pub const VIA: &str = "pages";

/// The schools that exist for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchoolsSeen {
    /// All of them.
    All,
    /// These.
    Some(Vec<SchoolId>),
}

/// Who is signed in. The layer that checks the session adds it to a request.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The name for signing in.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// Where.
    pub schools: SchoolsSeen,
    /// What their forms have, so that nobody else can make one.
    pub form: FormToken,
}

impl Visitor {
    /// A user, with the token of the session.
    pub fn of(user: &User, form: FormToken) -> Self {
        let schools = user.schools.as_ref();
        Self {
            user: user.name.clone(),
            role: user.role,
            schools: schools.map_or(SchoolsSeen::All, |schools| {
                SchoolsSeen::Some(schools.iter().cloned().collect())
            }),
            form,
        }
    }

    /// Checks that their role may do this.
    ///
    /// # Errors
    /// Returns an error page that says which role it takes.
    pub fn must(&self, task: Task) -> Result<(), PageError> {
        self.needs(task.role())
    }

    /// Whether this school exists for them.
    pub fn sees(&self, school: &SchoolId) -> bool {
        match &self.schools {
            SchoolsSeen::All => true,
            SchoolsSeen::Some(schools) => schools.contains(school),
        }
    }

    /// Whether they may do what this role may.
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// Checks that they may do what this role may.
    ///
    /// # Errors
    /// Returns an error page that says which role it takes.
    pub fn needs(&self, role: Role) -> Result<(), PageError> {
        if self.may(role) {
            Ok(())
        } else {
            Err(PageError::new(ErrorKind::Forbidden).detail(Denied::Role(role).to_string()))
        }
    }

    /// The settings of a school.
    ///
    /// # Errors
    /// Returns the same error page for a school that does not exist and for one that they do not see.
    pub fn school(&self, markback: &Markback, id: &str) -> Result<School, PageError> {
        let id = SchoolId::from(id);
        // In this order, so that both take the same time.
        let found = markback.school(&id);
        found
            .filter(|_| self.sees(&id))
            .ok_or_else(|| PageError::new(ErrorKind::NotFound))
    }

    /// The schools that they see, in the order of the settings.
    pub fn schools(&self, markback: &Markback) -> Vec<School> {
        let settings = markback.settings();
        let seen = settings
            .schools
            .iter()
            .filter(|school| self.sees(&school.id));
        seen.cloned().collect()
    }

    /// They as a caller in the audit log.
    pub fn caller(&self) -> Caller {
        Caller::user(Some(self.user.clone()))
    }

    /// They as the author of a change, with their reason.
    pub fn actor(&self, note: Option<String>) -> Actor {
        Actor {
            by: Some(self.user.clone()),
            via: VIA,
            note,
            caller: self.caller(),
        }
    }

    /// An entry of the audit log about what they do.
    pub fn entry(&self, action: AuditAction) -> NewAuditEntry {
        NewAuditEntry::new(action, &self.caller(), VIA)
    }
}

/// The sign-in that leads back to a page.
fn sign_in_for(parts: &Parts) -> String {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if parts.method != Method::GET || path == "/" {
        return SIGN_IN.to_owned();
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("next", path);
    format!("{SIGN_IN}?{}", query.finish())
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    /// Without a visitor, the request goes to the sign-in, whatever its address, and from there back to its page.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let found = parts.extensions.get::<Self>();
        found
            .cloned()
            .ok_or_else(|| Redirect::to(&sign_in_for(parts)).into_response())
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

/// Whoever visits a page about a school, and the school.
#[derive(Clone, Debug)]
pub struct AtSchool {
    /// Who visits.
    pub visitor: Visitor,
    /// The settings of the school.
    pub school: School,
    looks: Looks,
}

impl AtSchool {
    /// Records a look at so many events or people of the school, before they are shown.
    ///
    /// # Errors
    /// Returns an error page if it cannot be recorded: then nothing may be shown.
    pub async fn looks_at(
        &self,
        markback: &Markback,
        action: AuditAction,
        amount: usize,
    ) -> Result<(), PageError> {
        let look = (action, None, amount);
        if amount == 0 {
            return Ok(());
        }
        let looks = &self.looks;
        looks
            .record(markback, &self.visitor, &self.school.id, look)
            .await
    }

    /// Records a look at what is kept about one person, with so many events, before it is shown.
    ///
    /// # Errors
    /// As [`AtSchool::looks_at`].
    pub async fn looks_at_person(
        &self,
        markback: &Markback,
        action: AuditAction,
        person: &str,
        amount: usize,
    ) -> Result<(), PageError> {
        let look = (action, Some(person), amount);
        let looks = &self.looks;
        looks
            .record(markback, &self.visitor, &self.school.id, look)
            .await
    }
}

impl FromRequestParts<Markback> for AtSchool {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, markback: &Markback) -> Result<Self, Response> {
        let visitor =
            <Visitor as FromRequestParts<Markback>>::from_request_parts(parts, markback).await?;
        type Params = Path<Vec<(String, String)>>;
        let params =
            <Params as FromRequestParts<Markback>>::from_request_parts(parts, markback).await;
        let Path(params) =
            params.map_err(|_| PageError::new(ErrorKind::NotFound).into_response())?;
        let id = params.iter().find(|(name, _)| name == "school");
        let id = id.map_or("", |(_, id)| id.as_str());
        let school = visitor
            .school(markback, id)
            .map_err(PageError::into_response)?;
        let looks = parts.extensions.get::<Looks>().cloned();
        Ok(Self {
            visitor,
            school,
            looks: looks.unwrap_or_default(),
        })
    }
}
