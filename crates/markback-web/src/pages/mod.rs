//! The pages, a file each.

mod home;
mod people;
mod person;
mod today;

use axum::Router;
use markback::service::Markback;

/// The routes of all pages. A page adds its own here.
pub(crate) fn routes() -> Router<Markback> {
    Router::new()
        .merge(home::routes())
        .merge(today::routes())
        .merge(people::routes())
        .merge(person::routes())
}
