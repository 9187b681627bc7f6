//! The API's addresses: which request asks for what.

mod lists;
mod schools;
mod writes;

use axum::body::Bytes;
use chrono::{DateTime, Utc};

use crate::ids::Kind;
use crate::inner::{Bearer, Inner};
use crate::query::Query;
use crate::reply::{Refusal, Reply};
use crate::school::{Access, School};
use crate::wire::{View, data, global_code};
use crate::writeback::Fate;

/// Method of a request, as far as the API knows any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Delete,
    Other,
}

impl Verb {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Other => "OTHER",
        }
    }
}

/// A request by its address.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) verb: Verb,
    /// Steps of the path below the version.
    pub(crate) steps: Vec<&'a str>,
    /// What sort of address it is, for counts and faults.
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

/// Lists of schools by how far they have let the token's owner in.
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
        ["writebacks", _] => "writebacks",
        ["schools", _, "attendance", "session"] => "attendance/session",
        ["schools", _, "attendance", "lesson"] => "attendance/lesson",
        ["schools", _, what] | ["schools", _, what, _] => below_school(what),
        _ => "unknown",
    }
}

fn below_school(what: &str) -> &'static str {
    const KINDS: [&str; 16] = [
        "students",
        "students-pre-admission",
        "contacts",
        "employees",
        "groups",
        "classes",
        "periods",
        "rooms",
        "subjects",
        "lessons",
        "attendance-codes",
        "attendance-summaries",
        "deletions",
        "counts",
        "request-access",
        "revoke-access",
    ];
    KINDS.into_iter().find(|k| *k == what).unwrap_or("unknown")
}

/// All that an answer is made from.
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
    /// What is to become of a writeback that this request makes.
    pub(crate) fate: Fate,
}

/// Answers a request.
pub(crate) fn answer(request: &Request<'_>) -> Reply {
    use Verb::{Delete, Get, Post};
    let call = request.call;
    match (call.verb, call.steps.as_slice()) {
        (Get, ["schools"]) => schools::list(request, "approved"),
        (Get, ["schools", list]) if SCHOOL_LISTS.contains(list) => schools::list(request, list),
        (Get, ["schools", _]) => schools::one(request),
        (Get, ["meta", "schools", _]) => schools::meta(request),
        (Get, ["meta", "schools", _, "permissions"]) => schools::permissions(request),
        (Post, ["schools", _, "request-access"]) => schools::request_access(request),
        (Delete, ["schools", _, "revoke-access"]) => schools::revoke_access(request),
        (Get, ["attendance-codes"]) => Ok(codes(request)),
        (Get, ["writebacks", id]) => writes::status(request, id),
        (Post, ["schools", _, "attendance", "session"]) => writes::sessions(request),
        (Post, ["schools", _, "attendance", "lesson"]) => writes::lessons(request),
        (Get, ["schools", _, below @ ..]) if !below.is_empty() => {
            inside(request, |view| lists::below(request, view, below))
        }
        (Get, _) => Err(Refusal::not_found("address")),
        _ if call.kind != "unknown" => Err(Refusal::wrong_method()),
        _ => Err(Refusal::not_found("address")),
    }
}

fn codes(request: &Request<'_>) -> serde_json::Value {
    let book = crate::codes::global();
    data(
        book.iter()
            .enumerate()
            .map(|(n, code)| global_code(&request.inner.ids, n, code))
            .collect(),
    )
}

/// Runs `with` on the school of the path, if the token may look inside; the wrong region has nothing to show.
fn inside(request: &Request<'_>, with: impl FnOnce(View<'_>) -> Reply) -> Reply {
    let n = allowed(request)?;
    let Some(mut school) = request.inner.awake(n, request.now) else {
        return Err(Refusal::not_found("school"));
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

fn approved(school: &School) -> Result<(), Refusal> {
    match school.access {
        Access::Approved => Ok(()),
        _ => Err(Refusal::forbidden("any data")),
    }
}

/// The school of the path, if there is one and the token is for it.
fn allowed(request: &Request<'_>) -> Result<u32, Refusal> {
    let n = request
        .call
        .school
        .ok_or_else(|| Refusal::not_found("school"))?;
    match request.bearer {
        Bearer::All => Ok(n),
        Bearer::School(own) if own == n => Ok(n),
        Bearer::School(_) => Err(Refusal::forbidden("another school's data")),
    }
}
