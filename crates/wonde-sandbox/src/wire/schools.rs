//! Schools, their metadata and permissions.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::php;
use crate::ids::Kind;
use crate::mis::Phase;
use crate::resources;
use crate::school::{Access, School};

/// The local authority of every school.
const LA_CODE: &str = "999";

/// A school's record; `domains` are the regions' hosts with their ports.
pub(crate) fn school(school: &School, domains: &[String]) -> Value {
    let id = school.id(Kind::School, 0);
    let domain = domains.get(school.region).cloned().unwrap_or_default();
    let urn = 140_000 + school.n;
    let establishment = 4_000 + school.n % 1_000;
    let mut record = json!({
        "id": id,
        "name": school.name,
        "establishment_number": establishment.to_string(),
        "urn": urn,
        "phase_of_education": match school.shape.phase {
            Phase::Primary => "PRIMARY",
            Phase::Secondary => "SECONDARY",
            Phase::Independent => "ALL THROUGH",
        },
        "la_code": LA_CODE,
        "timezone": school.tz.name(),
        "mis": school.shape.name,
        "address": {
            "address_line_1": "1 School Lane",
            "address_line_2": null,
            "address_town": "Anytown",
            "address_postcode": postcode(school.n),
            "address_country": {"code": "GBR", "name": "United Kingdom"},
        },
        "extended": {
            "allows_writeback": school.shape.writes,
            "has_timetables": school.shape.timetabled(),
            "has_lesson_attendance": school.shape.timetabled(),
            "audit_approved_at": php(school.plan().settled(), school.shape.fraction),
        },
        "region": {
            "code": if school.region == 0 { "GBR" } else { "AUS" },
            "domain": domain,
            "school_url": format!("http://{domain}/v1.0/schools/{id}"),
            "identifiers": {"la_code": LA_CODE, "establishment_number": establishment.to_string(), "urn": urn},
        },
    });
    // Only some schools have it.
    if school.n % 2 == 1
        && let Some(extended) = record["extended"].as_object_mut()
    {
        extended.remove("audit_approved_at");
    }
    record
}

/// Whether a school is approved and its MIS online.
pub(crate) fn meta(school: &School, now: DateTime<Utc>) -> Value {
    json!({"data": {
        "online": school.extraction.online(now),
        "approved": school.access == Access::Approved,
        "audited": school.access == Access::Approved,
        "custom_attendance_codes": school.shape.phase == Phase::Independent,
    }})
}

/// The token's permissions, one per scope.
pub(crate) fn permissions(school: &School) -> Value {
    let mut list = Vec::new();
    let mut add = |identity: String, name: String, group: &str, approved| {
        let parent = identity
            .rsplit_once('.')
            .map(|(parent, _)| parent)
            .filter(|p| p.contains('.'));
        list.push(json!({
            "identity": identity,
            "name": name,
            "description": format!("{name} of this school."),
            "parent": parent,
            "group": group,
            "active_from": php(school.plan().settled(), school.shape.fraction),
            "optional": true,
            "approved": approved,
            "audited": approved,
        }));
    };
    let words = |scope: &str| scope.replace(['-', '/'], " ");
    let mut scopes: Vec<&str> = resources::ALL
        .iter()
        .map(|r| r.scope)
        .filter(|s| !s.is_empty())
        .collect();
    scopes.push("counts");
    scopes.dedup();
    for scope in scopes {
        add(
            format!("{scope}.read"),
            format!("Read {}", words(scope)),
            scope,
            school.granted(scope),
        );
    }
    let writes = resources::ALL
        .iter()
        .filter_map(|r| r.template.as_ref()?.writes.as_ref());
    let mut properties: Vec<&str> = Vec::new();
    for writes in writes {
        let (group, _) = writes.scope.split_once('.').unwrap_or_default();
        add(
            writes.scope.to_owned(),
            format!("Write {}", words(group)),
            group,
            school.granted(writes.scope),
        );
        properties.push(writes.scope);
    }
    properties.push("attendance.write");
    for scope in school
        .withdrawn
        .iter()
        .filter(|s| s.contains('.') && !properties.contains(&s.as_str()))
    {
        let group = scope.split('.').next().unwrap_or_default();
        add(
            format!("{scope}.read"),
            "Read one property".to_owned(),
            group,
            false,
        );
    }
    add(
        school.shape.write_permission.to_owned(),
        "Write attendance".to_owned(),
        "attendance",
        school.shape.writes && school.granted("attendance.write"),
    );
    json!({ "data": list })
}

/// An access control list that excludes a person who has left.
pub(crate) fn acl(school: &School, with_user_type: bool) -> Value {
    let id = school.id(Kind::Student, 999_999);
    let entry = match with_user_type {
        true => json!({"id": id, "type": "student"}),
        false => json!(id),
    };
    json!({"data": {"mode": "exclude", "ids": [entry]}})
}

/// The postcode of the school at this position.
pub(crate) fn postcode(n: u32) -> String {
    format!("ZZ{} 1ZZ", n % 97 + 1)
}
