//! People by name.

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use markback::{audit_log::AuditAction, people::KnownPerson, service::Markback};
use mis_core::PersonKind;
use serde::Deserialize;

use crate::{
    error::PageError,
    layout::{Frame, html},
    view::{
        count,
        who::{Roll, person_href},
    },
    visitor::AtSchool,
};

/// So many people are shown.
const SHOWN: usize = 50;

pub(super) fn routes() -> Router<Markback> {
    Router::new().route("/schools/{school}/people", get(people))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
}

#[derive(Template)]
#[template(path = "people.html")]
struct Found {
    frame: Frame,
    said: String,
    people: Vec<Line>,
    is_known: bool,
}

struct Line {
    name: String,
    href: String,
    form: String,
    group: String,
}

async fn people(
    State(markback): State<Markback>,
    at: AtSchool,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let roll = Roll::of(&markback, &at.school).await?;
    let searched = asked.q.trim();
    let (found, all) = match roll.people() {
        Some(people) => people.search(searched, SHOWN),
        None => (Vec::new(), 0),
    };
    at.looks_at(&markback, AuditAction::PeopleFound, found.len())
        .await?;
    if let [only] = found.as_slice() {
        let href = person_href(&at.school, only.kind, only.key.as_str());
        return Ok(Redirect::to(&href).into_response());
    }
    let said = match (searched.is_empty(), all) {
        (true, _) => "Type the beginning of a name; first name, surname or both.".to_owned(),
        (false, 0) => format!("Nobody has a name like “{searched}”."),
        (false, all) if all > found.len() => {
            format!(
                "The first {} of {all} people. Type more of the name.",
                found.len()
            )
        }
        (false, all) => format!(
            "{} found.",
            count(all, "person").replace("persons", "people")
        ),
    };
    let line = |known: &&KnownPerson| Line {
        name: known.name(),
        href: person_href(&at.school, known.kind, known.key.as_str()),
        form: match known.kind {
            PersonKind::Student => known
                .registration
                .clone()
                .or_else(|| known.year.clone())
                .unwrap_or_default(),
            PersonKind::Staff => "staff".to_owned(),
            PersonKind::Parent => "parent".to_owned(),
        },
        group: known
            .group
            .clone()
            .unwrap_or_else(|| "in no group".to_owned()),
    };
    html(&Found {
        frame: Frame::of_school("Find a person", &at.visitor, &at.school, None).searched(searched),
        said,
        people: found.iter().map(line).collect(),
        is_known: roll.is_known(),
    })
}
