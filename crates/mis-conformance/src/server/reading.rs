//! Reads of a school's record, its grants, and its lists page by page.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use wiremock::Request;

use super::{World, not_found, rows};
use crate::answer::Answer;
use crate::standard;

/// How far a list of lessons extends beyond the requested time, because Wonde may return more than requested.
const BEYOND: TimeDelta = TimeDelta::days(1);
/// The number of members of staff, and of contacts, at each school.
pub(crate) const ADULTS: usize = 4;
/// A pupil who has left.
pub(crate) const GONE: usize = 77;

impl World {
    /// The record of a school.
    pub(super) fn record(&self, number: u8, request: &Request) -> Answer {
        let Some(school) = self.schools.get(&number) else {
            return not_found();
        };
        let record = json!({
            "id": standard::school_id(number),
            "name": format!("Standard School {number}"),
            "timezone": school.timezone.name(),
            "mis": null,
            "extended": {"allows_writeback": school.grants.allows_writeback},
            "region": {"code": "GB", "domain": host(request)},
        });
        Answer::json(200, json!({"data": record}))
    }

    pub(super) fn meta(&self, number: u8) -> Answer {
        match self.schools.get(&number) {
            Some(school) if school.grants.hidden => hidden(),
            Some(school) => Answer::json(
                200,
                json!({"data": {"online": true, "approved": school.grants.approved, "audited": true}}),
            ),
            None => not_found(),
        }
    }

    pub(super) fn permissions(&self, number: u8) -> Answer {
        match self.schools.get(&number) {
            Some(school) if school.grants.hidden => hidden(),
            Some(school) => {
                let write = school.grants.attendance_write.map(|approved| {
                    json!({"identity": "attendance.write", "name": "Write attendance", "approved": approved})
                });
                let read =
                    json!({"identity": "attendance.read", "name": "Attendance", "approved": true});
                Answer::json(
                    200,
                    json!({"data": write.into_iter().chain([read]).collect::<Vec<_>>()}),
                )
            }
            None => not_found(),
        }
    }

    /// One page of a list.
    pub(super) fn list(
        &self,
        number: u8,
        what: &str,
        query: &HashMap<String, String>,
        request: &Request,
    ) -> Answer {
        if what == "counts" {
            return self.counts(number);
        }
        let includes: Vec<&str> = query
            .get("include")
            .map_or("", String::as_str)
            .split(',')
            .filter(|word| !word.is_empty())
            .collect();
        let known: &[&str] = match what {
            "students" => &[
                "education_details",
                "year",
                "registration",
                "classes",
                "groups",
                "contact_details",
            ],
            "employees" => &["employment_details", "contact_details", "groups", "classes"],
            "lessons" => &["class", "room", "period", "employee"],
            _ => &[],
        };
        if let Some(word) = includes.iter().find(|word| !known.contains(word)) {
            let words = format!("There is no include {word}.");
            return Answer::json(
                400,
                json!({"error": "invalid_include", "error_description": words}),
            );
        }
        match self.rows(number, what, &includes, query) {
            Some(rows) => self.paged(&rows, query, request),
            None => not_found(),
        }
    }

    fn counts(&self, number: u8) -> Answer {
        let Some(students) = self.rows(number, "students", &[], &HashMap::new()) else {
            return not_found();
        };
        let counts = json!({"students": {"data": {"count": students.len()}}});
        Answer::json(200, json!({"data": counts}))
    }

    fn rows(
        &self,
        number: u8,
        what: &str,
        includes: &[&str],
        query: &HashMap<String, String>,
    ) -> Option<Vec<Value>> {
        let school = self.schools.get(&number)?;
        let time = |key: &str| query.get(key).and_then(|text| instant(text));
        let (after, before) = (time("updated_after"), time("updated_before"));
        Some(match what {
            "attendance-codes" if !school.code_book => Vec::new(),
            "attendance-codes" => standard::CODES
                .iter()
                .flat_map(|letters| rows::codes(number, letters, &school.repeated))
                .collect(),
            "students" => (1..=school.pupils)
                .map(|pupil| rows::student(number, pupil, includes))
                .chain(school.own_student.clone())
                .collect(),
            "employees" => (1..=ADULTS)
                .map(|n| rows::employee(number, n, includes))
                .collect(),
            "contacts" => (1..=ADULTS).map(|n| rows::contact(number, n)).collect(),
            "groups" => rows::GROUPS
                .iter()
                .map(|(kind, name)| rows::group(number, kind, name))
                .collect(),
            "lessons" => {
                let (from, to) = (time("lessons_start_after"), time("lessons_start_before"));
                school
                    .lessons
                    .iter()
                    .filter(|lesson| from.is_none_or(|from| lesson.starts > from - BEYOND))
                    .filter(|lesson| to.is_none_or(|to| lesson.starts < to + BEYOND))
                    .map(|lesson| rows::lesson(number, lesson))
                    .collect()
            }
            "events" => rows::events(number),
            "deletions" => vec![
                rows::deletion(number, "student", GONE),
                rows::deletion(number, "class", 1),
            ],
            "attendance/session" => self.kept_rows(number, "session", after, before),
            "attendance/lesson" => self.kept_rows(number, "lesson", after, before),
            _ => return None,
        })
    }

    fn paged(&self, rows: &[Value], query: &HashMap<String, String>, request: &Request) -> Answer {
        let number = |key: &str| {
            query
                .get(key)
                .and_then(|text| text.parse::<usize>().ok())
                .filter(|n| *n > 0)
        };
        let size = number("per_page").unwrap_or(50).min(self.page);
        let page = number("page").unwrap_or(1);
        let part: Vec<&Value> = rows.iter().skip((page - 1) * size).take(size).collect();
        if rows.len() <= size {
            return Answer::json(200, json!({"data": part, "meta": {"includes": []}}));
        }
        let more = page * size < rows.len();
        let next = more.then(|| {
            let mut url = request.url.clone();
            let others = query.iter().filter(|(key, _)| *key != "page");
            url.query_pairs_mut()
                .clear()
                .extend_pairs(others)
                .append_pair("page", &(page + 1).to_string());
            // The request has its host in a header, not in its URL.
            format!(
                "http://{}{}?{}",
                host(request).unwrap_or_default(),
                url.path(),
                url.query().unwrap_or_default()
            )
        });
        let pagination = json!({"next": next, "previous": null, "more": more, "per_page": size.to_string(), "current_page": page});
        Answer::json(
            200,
            json!({"data": part, "meta": {"pagination": pagination, "includes": []}}),
        )
    }
}

/// The host and port of this server in the request.
fn host(request: &Request) -> Option<&str> {
    request
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
}

fn hidden() -> Answer {
    Answer::json(
        403,
        json!({"error": "invalid_permissions", "error_description": "Not for you."}),
    )
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .ok()
        .map(|time| time.and_utc())
}
