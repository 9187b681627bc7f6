//! Today: a school's day.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};
use markback::service::Markback;

use crate::{
    error::PageError,
    layout::{Frame, Section, html},
    visitor::AtSchool,
};

pub(super) fn routes() -> Router<Markback> {
    Router::new().route("/schools/{school}/today", get(today))
}

#[derive(Template)]
#[template(path = "today.html")]
struct Today {
    frame: Frame,
}

async fn today(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    let now = markback.clock().now().with_timezone(&at.school.timezone);
    let title = now.format("%A %-d %B").to_string();
    html(&Today {
        frame: Frame::of_school(title, &at.visitor, &at.school.id, Some(Section::Today)),
    })
}
