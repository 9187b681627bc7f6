//! Routes of the API.

mod lists;
mod open;
mod schools;
mod writes;

use axum::body::Bytes;
use chrono::{DateTime, Utc};

use crate::ids::Kind;
use crate::inner::{Bearer, Inner};
use crate::paging::{Lister, ShortList};
use crate::query::Query;
use crate::reply::{Rejection, Reply};
use crate::resources::Resource;
use crate::school::{Access, School};
use crate::wire::{View, global_code};
use crate::writeback::Fate;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Delete,
    Other,
}

impl Verb {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Other => "OTHER",
        }
    }
}

/// A parsed request line.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) verb: Verb,
    /// The path's segments below the version.
    pub(crate) steps: Vec<&'a str>,
    /// The kind of address, for counts and faults.
    pub(crate) kind: &'static str,
    /// Position of the school the path names.
    pub(crate) school: Option<u32>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(verb: Verb, path: &'a str, inner: &Inner) -> Self {
        let steps: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let school = match steps.as_slice() {
            ["schools", id, ..] | ["meta", "schools", id, ..] => inner.ids.read(id, Kind::School),
            ["writebacks", id] => inner.ids.read(id, Kind::Writeback),
            _ => None,
        };
        Self {
            verb,
            kind: kind(&steps),
            school: school
                .map(|(s, _)| s)
                .filter(|s| inner.school(*s).is_some()),
            steps,
        }
    }
}

/// Lists of schools by access.
const SCHOOL_LISTS: [&str; 6] = [
    "all", "pending", "audited", "offline", "revoked", "declined",
];

fn kind(steps: &[&str]) -> &'static str {
    match steps {
        ["schools"] => "schools",
        ["schools", list] if SCHOOL_LISTS.contains(list) => "schools",
        ["schools", _] => "school",
        ["meta", "schools", _] => "meta",
        ["meta", "schools", _, "permissions"] => "permissions",
        ["attendance-codes"] => "attendance-codes",
        ["meta", "schools", _, "acl"] => "acl",
        ["writebacks"] | ["writebacks", _] => "writebacks",
        ["schools", _, below @ ..] => below_school(below),
        _ => "unknown",
    }
}

fn below_school(below: &[&str]) -> &'static str {
    const NO_LISTS: [&str; 3] = ["counts", "request-access", "revoke-access"];
    match (below, Resource::find(below)) {
        (_, Some((resource, _))) => resource.path,
        ([one], None) => NO_LISTS.into_iter().find(|k| k == one).unwrap_or("unknown"),
        _ => "unknown",
    }
}

/// A request and its context.
pub(crate) struct Request<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) call: &'a Call<'a>,
    pub(crate) query: &'a Query,
    pub(crate) body: &'a Bytes,
    pub(crate) now: DateTime<Utc>,
    /// Region of the address that was called.
    pub(crate) region: usize,
    /// Address without the query, for links.
    pub(crate) url: &'a str,
    pub(crate) bearer: Bearer,
    /// The effect of a fault on a writeback that this request creates.
    pub(crate) fate: Fate,
}

/// Responds to a request.
pub(crate) fn answer(request: &Request<'_>) -> Reply {
    use Verb::{Delete, Get, Post, Put};
    let call = request.call;
    match (call.verb, call.steps.as_slice()) {
        (Get, ["schools"]) => schools::list(request, "approved"),
        (Get, ["schools", list]) if SCHOOL_LISTS.contains(list) => schools::list(request, list),
        (Get, ["schools", _]) => schools::one(request),
        (Get, ["meta", "schools", _]) => schools::meta(request),
        (Get, ["meta", "schools", _, "permissions"]) => schools::permissions(request),
        (Get, ["meta", "schools", _, "acl"]) => schools::acl(request),
        (Post, ["schools", _, "request-access"]) => schools::request_access(request),
        (Delete, ["schools", _, "revoke-access"]) => schools::revoke_access(request),
        (Get, ["attendance-codes"]) => codes(request),
        (Get, ["writebacks"]) => writes::all(request),
        (Get, ["writebacks", id]) => writes::status(request, id),
        (Post, ["schools", _, "attendance", "session"]) => writes::sessions(request),
        (Post, ["schools", _, "attendance", "lesson"]) => writes::lessons(request),
        (Post | Put | Delete, ["schools", _, below @ ..]) => match open::Target::find(below) {
            Some(target) => open::write(request, &target),
            None => not_served(call),
        },
        (Get, ["schools", _, below @ ..]) if !below.is_empty() => {
            inside(request, |view| lists::below(request, view, below))
        }
        (Get, _) => Err(Rejection::not_found("address")),
        _ => not_served(call),
    }
}

/// Responds to an unknown request with a method other than `GET`.
fn not_served(call: &Call<'_>) -> Reply {
    Err(match call.kind {
        "unknown" => Rejection::not_found("address"),
        _ => Rejection::wrong_method(),
    })
}

fn codes(request: &Request<'_>) -> Reply {
    request.query.only(&[])?;
    let book = crate::codes::global();
    let rows = book.iter().enumerate();
    request
        .root_list()
        .page(rows.map(|(n, code)| (n as u64, (n, code))), |(n, code)| {
            global_code(&request.inner.ids, n, code)
        })
}

impl Request<'_> {
    /// A list at the root of the API, which always has pagination.
    fn root_list(&self) -> Lister<'_> {
        Lister {
            url: self.url,
            query: self.query,
            per_page_max: self.inner.options.per_page_max as usize,
            includes: Vec::new(),
            short: ShortList::Paged,
        }
    }
}

/// Runs `with` on the path's school if the token has access; the wrong region returns no data.
fn inside(request: &Request<'_>, with: impl FnOnce(View<'_>) -> Reply) -> Reply {
    let n = allowed(request)?;
    let Some(mut school) = request.inner.awake(n, request.now) else {
        return Err(Rejection::not_found("school"));
    };
    if school.region != request.region {
        return Ok(serde_json::json!({"data": []}));
    }
    approved(&school)?;
    let school: &mut School = &mut school;
    with(View {
        school,
        now: request.now,
    })
}

fn approved(school: &School) -> Result<(), Rejection> {
    match school.access {
        Access::Approved => Ok(()),
        _ => Err(Rejection::forbidden("any data")),
    }
}

/// The school in the path, if it exists and the token gives access to it.
fn allowed(request: &Request<'_>) -> Result<u32, Rejection> {
    let n = request
        .call
        .school
        .ok_or_else(|| Rejection::not_found("school"))?;
    match request.bearer {
        Bearer::All => Ok(n),
        Bearer::School(own) if own == n => Ok(n),
        Bearer::School(_) => Err(Rejection::forbidden("another school's data")),
    }
}
