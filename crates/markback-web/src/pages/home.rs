//! The first page: the schools of the visitor, or the day of the only one.

use askama::Template;
use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use markback::service::Markback;

use crate::{
    error::PageError,
    layout::{Frame, base, html},
    visitor::Visitor,
};

pub(super) fn routes() -> Router<Markback> {
    Router::new().route("/", get(home))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    schools: Vec<SchoolLink>,
}

struct SchoolLink {
    name: String,
    href: String,
}

async fn home(State(markback): State<Markback>, visitor: Visitor) -> Result<Response, PageError> {
    let schools = visitor.schools(&markback);
    if let [only] = schools.as_slice() {
        return Ok(Redirect::to(&format!("{}/today", base(&only.id))).into_response());
    }
    let link = |school: &markback::settings::School| SchoolLink {
        name: school.title().to_owned(),
        href: format!("{}/today", base(&school.id)),
    };
    html(&Home {
        frame: Frame::new("Schools", Some(&visitor)),
        schools: schools.iter().map(link).collect(),
    })
}
