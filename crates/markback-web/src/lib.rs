//! The pages of a [`markback`] service, for a school's office, for whoever sets a school's rules, and for support.
//!
//! ```text
//! GET /                                     the schools of the visitor, or the only one
//! GET /schools/{school}/today?date=         a school's day
//! GET /schools/{school}/events?date=…       its sign-ins and sign-outs as a list
//! GET /schools/{school}/people?q=           people by name
//! GET /schools/{school}/people/{person}     a person's day
//! GET /live                                 a stream that tells that something has changed
//! GET, POST /sign-in, POST /sign-out        signing in and out
//! GET /connections                          keys of the API, endpoints for webhooks, users
//! GET, POST /connections/keys/…, …/webhooks/…, …/users/…
//! GET /audit?school=&by=&since=             the audit log
//! GET /assets/{name}                        style, script and icon
//! ```
//!
//! Pages are made on the server and work without scripts. They use the same calls of the library as the HTTP API and have
//! no rules of their own. Each page but the sign-in needs a [`Visitor`]; without one, a request is sent to [`SIGN_IN`].
//!
//! A page is a file in `pages` with its templates of the same name, and a row in the table of [`layout`] if the navigation
//! leads to it.

pub mod assets;
pub mod error;
pub mod layout;
mod live;
mod looks;
mod pages;
mod rules;
mod security;
pub mod session;
pub mod view;
pub mod visitor;

use axum::{
    Extension, Router,
    middleware::{from_fn, from_fn_with_state},
    routing::any,
};
use markback::service::Markback;

pub use self::{
    error::{ErrorKind, PageError},
    visitor::{Role, SIGN_IN, SchoolsSeen, Visitor},
};

/// The pages of the service, without its API. They answer whatever address no other router of the program has.
///
/// A request needs a [`Visitor`], whom the session of its cookie adds. A host with a sign-in of its own adds one to the
/// request's extensions, in a layer around this router, and then checks itself where forms come from.
pub fn router(markback: Markback) -> Router {
    let pages = Router::new()
        .merge(pages::routes())
        .merge(live::routes())
        .route("/{*elsewhere}", any(error::nothing_here))
        .method_not_allowed_fallback(error::wrong_method)
        .layer(from_fn(error::as_page))
        .layer(Extension(looks::Looks::default()))
        .layer(from_fn_with_state(markback.clone(), session::visit))
        .layer(session::layer(&markback))
        // Once more, for the errors of the layers before.
        .layer(from_fn(error::as_page))
        .merge(assets::routes())
        .layer(from_fn(security::headers));
    pages.with_state(markback)
}
