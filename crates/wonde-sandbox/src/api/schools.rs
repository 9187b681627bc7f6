//! Schools, their permissions, and requests for access.

use std::sync::MutexGuard;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Request, allowed};
use crate::inner::Bearer;
use crate::query::Query;
use crate::reply::{Rejection, Reply};
use crate::school::{Access, School};
use crate::wire;

/// One of the lists of schools.
pub(crate) fn list(request: &Request<'_>, list: &str) -> Reply {
    let query = request.query;
    if let Some((name, _)) = query.includes().iter().next() {
        return Err(Rejection::invalid_include(name));
    }
    query.only(match list {
        "revoked" | "declined" => &[],
        _ => &FILTERS,
    })?;
    let updated = query.updated()?;
    let domains = request.inner.domains();
    let rows = (0..request.inner.school_count())
        .filter(|n| matches!(request.bearer, Bearer::All) || request.bearer == Bearer::School(*n))
        .filter_map(|n| {
            let school = request.inner.asleep(n)?;
            let here = school.region == request.region && belongs(&school, list, request.now);
            let record = wire::school(&school, &domains);
            (here && updated.holds(school.plan().settled()) && wanted(query, &record))
                .then_some((u64::from(n), record))
        });
    request.root_list().page(rows, |record| record)
}

/// The filters of lists of schools.
const FILTERS: [&str; 6] = [
    "postcode",
    "establishment_number",
    "urn",
    "la_code",
    "updated_after",
    "updated_before",
];

/// Whether a school matches the filters: a prefix of the postcode, and exact numbers.
fn wanted(query: &Query, record: &serde_json::Value) -> bool {
    let squeezed = |text: &str| text.replace(' ', "").to_uppercase();
    let postcode = record["address"]["address_postcode"]
        .as_str()
        .unwrap_or_default();
    let begins = |start| squeezed(postcode).starts_with(&squeezed(start));
    query.get("postcode").is_none_or(begins)
        && ["establishment_number", "urn", "la_code"]
            .into_iter()
            .all(|name| {
                let value = &record[name];
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                query.get(name).is_none_or(|asked| asked == value)
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

/// A school's record. Both regions return it, because it names the right one.
pub(crate) fn one(request: &Request<'_>) -> Reply {
    request.query.only(&[])?;
    let school = anywhere(request)?;
    let record = wire::school(&school, &request.inner.domains());
    Ok(json!({"data": record, "meta": {"includes": []}}))
}

/// Online, approved and so on.
pub(crate) fn meta(request: &Request<'_>) -> Reply {
    let school = here(request)?;
    Ok(wire::meta(&school, request.now))
}

/// The access control list.
pub(crate) fn acl(request: &Request<'_>) -> Reply {
    request.query.only(&["with_user_type"])?;
    let with_user_type = request.query.flag("with_user_type")?.unwrap_or_default();
    let school = here(request)?;
    Ok(wire::acl(&school, with_user_type))
}

/// The list of permissions.
pub(crate) fn permissions(request: &Request<'_>) -> Reply {
    let school = here(request)?;
    Ok(wire::permissions(&school))
}

/// Requests access; it stays pending until the school answers.
pub(crate) fn request_access(request: &Request<'_>) -> Reply {
    contacts(request.body)?;
    let mut school = anywhere(request)?;
    if school.access != Access::Approved {
        school.access = Access::Pending;
    }
    Ok(state(&school))
}

/// Revokes access.
pub(crate) fn revoke_access(request: &Request<'_>) -> Reply {
    let mut school = anywhere(request)?;
    school.access = Access::Revoked;
    Ok(state(&school))
}

/// The school in the path, in any region.
fn anywhere<'r>(request: &Request<'r>) -> Result<MutexGuard<'r, School>, Rejection> {
    let n = allowed(request)?;
    request
        .inner
        .asleep(n)
        .ok_or_else(|| Rejection::not_found("school"))
}

/// The school in the path, if it is in this region.
fn here<'r>(request: &Request<'r>) -> Result<MutexGuard<'r, School>, Rejection> {
    let school = anywhere(request)?;
    if school.region == request.region {
        Ok(school)
    } else {
        Err(Rejection::not_found("school"))
    }
}

/// Rejects a request for access with invalid contacts. PHP sends an empty list instead of an empty object.
fn contacts(body: &[u8]) -> Result<(), Rejection> {
    const KNOWN: [&str; 5] = [
        "first_name",
        "last_name",
        "phone_number",
        "email_address",
        "notes",
    ];
    if body.is_empty() {
        return Ok(());
    }
    let body: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| Rejection::invalid_json())?;
    let reject = |field: &str, message: &str| {
        Err(Rejection::invalid(&[(
            field.to_owned(),
            message.to_owned(),
        )]))
    };
    let body = match &body {
        serde_json::Value::Null => return Ok(()),
        serde_json::Value::Array(list) if list.is_empty() => return Ok(()),
        serde_json::Value::Object(body) => body,
        _ => return reject("contacts", "The body must be an object with contacts."),
    };
    if let Some(key) = body.keys().find(|key| *key != "contacts") {
        return reject(key, "This field is not known.");
    }
    let Some(list) = body.get("contacts") else {
        return Ok(());
    };
    let Some(list) = list.as_array() else {
        return reject("contacts", "The contacts field must be a list.");
    };
    for (place, contact) in list.iter().enumerate() {
        let fine = contact.as_object().is_some_and(|contact| {
            contact.iter().all(|(key, value)| {
                KNOWN.contains(&key.as_str()) && (value.is_string() || value.is_null())
            })
        });
        if !fine {
            return reject(
                &format!("contacts.{place}"),
                "The fields of a contact must be text.",
            );
        }
    }
    Ok(())
}

fn state(school: &School) -> serde_json::Value {
    let (state, message) = match school.access {
        Access::Approved => ("approved", "The school has approved access."),
        Access::Pending => ("pending", "Access has been requested."),
        Access::Declined => ("declined", "The school has declined access."),
        Access::Revoked => ("revoked", "Access has been revoked."),
        Access::Unasked => ("unasked", "Access has not been requested."),
    };
    json!({"success": true, "state": state, "message": message})
}
