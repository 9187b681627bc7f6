//! Schools, their meta data and what they permit.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::ids::Kind;
use crate::mis::Phase;
use crate::school::{Access, School};

/// A school's record; `domains` are the regions' hosts with their ports.
pub(crate) fn school(school: &School, domains: &[String]) -> Value {
    let id = school.id(Kind::School, 0);
    let domain = domains.get(school.region).cloned().unwrap_or_default();
    let urn = 140_000 + school.n;
    let establishment = 4_000 + school.n % 1_000;
    json!({
        "id": id,
        "name": school.name,
        "establishment_number": establishment.to_string(),
        "urn": urn,
        "phase_of_education": match school.shape.phase {
            Phase::Primary => "PRIMARY",
            Phase::Secondary => "SECONDARY",
            Phase::Independent => "ALL THROUGH",
        },
        "la_code": "999",
        "timezone": school.tz.name(),
        "mis": school.shape.name,
        "address": {
            "address_line_1": "1 School Lane",
            "address_line_2": null,
            "address_town": "Anytown",
            "address_postcode": "ZZ1 1ZZ",
            "address_country": {"code": "GBR", "name": "United Kingdom"},
        },
        "extended": {
            "allows_writeback": school.shape.writes,
            "has_timetables": school.shape.timetabled(),
            "has_lesson_attendance": school.shape.timetabled(),
        },
        "region": {
            "code": if school.region == 0 { "GBR" } else { "AUS" },
            "domain": domain,
            "school_url": format!("http://{domain}/v1.0/schools/{id}"),
            "identifiers": {"la_code": "999", "establishment_number": establishment.to_string(), "urn": urn.to_string()},
        },
    })
}

/// Whether a school is approved and its MIS within reach.
pub(crate) fn meta(school: &School, now: DateTime<Utc>) -> Value {
    json!({"data": {
        "online": school.extraction.online(now),
        "approved": school.access == Access::Approved,
        "audited": school.access == Access::Approved,
        "custom_attendance_codes": school.shape.phase == Phase::Independent,
    }})
}

/// Scopes for reading, as `permissions` names them.
const READING: [(&str, &str); 15] = [
    ("students", "Students"),
    ("contacts", "Contacts"),
    ("employees", "Employees"),
    ("groups", "Groups"),
    ("classes", "Classes"),
    ("periods", "Periods"),
    ("rooms", "Rooms"),
    ("subjects", "Subjects"),
    ("lessons", "Lessons"),
    ("attendance-codes", "Attendance codes"),
    ("attendance-session", "Session attendance"),
    ("attendance-lesson", "Lesson attendance"),
    ("attendance-summaries", "Attendance summaries"),
    ("deletions", "Deletions"),
    ("counts", "Counts"),
];

/// What the school lets the token do, one entry for each scope.
pub(crate) fn permissions(school: &School) -> Value {
    let mut list: Vec<Value> = READING
        .iter()
        .map(|(scope, name)| {
            permission(
                &format!("{scope}.read"),
                &format!("Read {name}"),
                school.granted(scope),
            )
        })
        .collect();
    for scope in school.withdrawn.iter().filter(|s| s.contains('.')) {
        if scope != "attendance.write" {
            list.push(permission(
                &format!("{scope}.read"),
                "Read one property",
                false,
            ));
        }
    }
    let writes = school.shape.writes && school.granted("attendance.write");
    list.push(permission(
        school.shape.write_permission,
        "Write attendance",
        writes,
    ));
    json!({ "data": list })
}

fn permission(identity: &str, name: &str, approved: bool) -> Value {
    json!({
        "identity": identity,
        "name": name,
        "description": format!("{name} of this school."),
        "approved": approved,
        "required": false,
        "status": if approved { "approved" } else { "declined" },
    })
}
