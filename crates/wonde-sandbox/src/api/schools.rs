//! Schools, what they permit, and asking for access.

use std::sync::MutexGuard;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Request, allowed};
use crate::inner::Bearer;
use crate::paging::Lister;
use crate::reply::{Refusal, Reply};
use crate::school::{Access, School};
use crate::wire::{self, data};

/// One of the lists of schools.
pub(crate) fn list(request: &Request<'_>, list: &str) -> Reply {
    if let Some((name, _)) = request.query.includes().iter().next() {
        return Err(Refusal::invalid_include(name));
    }
    let lister = Lister {
        url: request.url,
        query: request.query,
        per_page_max: request.inner.options.per_page_max as usize,
    };
    let rows = (0..request.inner.school_count())
        .filter(|n| matches!(request.bearer, Bearer::All) || request.bearer == Bearer::School(*n))
        .filter(|n| {
            request
                .inner
                .asleep(*n)
                .is_some_and(|s| s.region == request.region && belongs(&s, list, request.now))
        })
        .map(|n| (u64::from(n), n));
    lister.page(rows, |n| {
        request
            .inner
            .asleep(n)
            .map_or(serde_json::Value::Null, |s| {
                wire::school(&s, &request.inner.domains())
            })
    })
}

fn belongs(school: &School, list: &str, now: DateTime<Utc>) -> bool {
    match list {
        "all" => true,
        "pending" => school.access == Access::Pending,
        "revoked" => school.access == Access::Revoked,
        "declined" => school.access == Access::Declined,
        "offline" => school.access == Access::Approved && !school.extraction.online(now),
        _ => school.access == Access::Approved,
    }
}

/// A school's record, which both regions know: it says which is the right one.
pub(crate) fn one(request: &Request<'_>) -> Reply {
    let school = anywhere(request)?;
    Ok(data(wire::school(&school, &request.inner.domains())))
}

/// Online, approved and so on.
pub(crate) fn meta(request: &Request<'_>) -> Reply {
    let school = here(request)?;
    Ok(wire::meta(&school, request.now))
}

/// The list of permissions.
pub(crate) fn permissions(request: &Request<'_>) -> Reply {
    let school = here(request)?;
    Ok(wire::permissions(&school))
}

/// Asks the school for access; it stays pending until the school answers.
pub(crate) fn request_access(request: &Request<'_>) -> Reply {
    let mut school = anywhere(request)?;
    if school.access != Access::Approved {
        school.access = Access::Pending;
    }
    Ok(state(&school))
}

/// Gives access back.
pub(crate) fn revoke_access(request: &Request<'_>) -> Reply {
    let mut school = anywhere(request)?;
    school.access = Access::Revoked;
    Ok(state(&school))
}

/// The school of the path, from whichever region.
fn anywhere<'r>(request: &Request<'r>) -> Result<MutexGuard<'r, School>, Refusal> {
    let n = allowed(request)?;
    request
        .inner
        .asleep(n)
        .ok_or_else(|| Refusal::not_found("school"))
}

/// The school of the path, if it is in this region.
fn here<'r>(request: &Request<'r>) -> Result<MutexGuard<'r, School>, Refusal> {
    let school = anywhere(request)?;
    if school.region == request.region {
        Ok(school)
    } else {
        Err(Refusal::not_found("school"))
    }
}

fn state(school: &School) -> serde_json::Value {
    let (state, message) = match school.access {
        Access::Approved => ("approved", "The school has approved access."),
        Access::Pending => ("pending", "The school has been asked."),
        Access::Declined => ("declined", "The school has declined."),
        Access::Revoked => ("revoked", "Access has been revoked."),
        Access::Unasked => ("unasked", "The school has not been asked."),
    };
    json!({"success": true, "state": state, "message": message})
}
