//! The pages, a file each.

mod account;
mod audit;
mod connections;
mod desk;
mod groups;
mod home;
mod people;
mod person;
mod problems;
mod rules;
mod schools;
pub(crate) mod sign_in;
mod today;

use axum::Router;
use markback::service::Markback;

/// The routes of all pages. A page adds its own here.
pub(crate) fn routes() -> Router<Markback> {
    Router::new()
        .merge(home::routes())
        .merge(today::routes())
        .merge(desk::routes())
        .merge(problems::routes())
        .merge(rules::routes())
        .merge(groups::routes())
        .merge(schools::routes())
        .merge(people::routes())
        .merge(person::routes())
        .merge(sign_in::routes())
        .merge(account::routes())
        .merge(connections::routes())
        .merge(audit::routes())
}
