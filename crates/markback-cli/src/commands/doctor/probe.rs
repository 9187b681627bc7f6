//! `markback doctor --probe`: checks assumptions about Wonde's API at a real school, read-only, and prints a report
//! that may be shared.
//!
//! The report contains formats, property names, machine-readable words, counts and rate limit headers. It contains no
//! values of people's records.

use std::collections::BTreeSet;

use mis_wonde::wonde::{Client, Error, RawAnswer, SchoolClient};
use serde::Serialize;
use serde_json::Value;

/// The result of one check.
#[derive(Serialize)]
pub(super) struct Observation {
    asked: &'static str,
    found: String,
    /// The documented assumption that the result may change, with its label.
    changes: &'static str,
}

impl Observation {
    pub(super) fn row(&self) -> [String; 3] {
        [self.asked, self.found.as_str(), self.changes].map(str::to_owned)
    }
}

/// The path of a question.
enum At {
    /// A list at the root of the API.
    Root(&'static str),
    /// The school's own record.
    Record,
    /// A path below the school's meta.
    Meta(&'static [&'static str]),
    /// A path below the school.
    School(&'static str),
    /// The first record of a list of the school.
    First(&'static str),
}

struct Question {
    asked: &'static str,
    at: At,
    query: &'static [(&'static str, &'static str)],
    /// Extracts the answer from a response.
    look: fn(&Value) -> String,
    changes: &'static str,
}

const fn ask(
    asked: &'static str,
    at: At,
    query: &'static [(&'static str, &'static str)],
    look: fn(&Value) -> String,
    changes: &'static str,
) -> Question {
    Question {
        asked,
        at,
        query,
        look,
        changes,
    }
}

/// A date in the future, so that a filter that works returns no rows.
const LATER: &str = "2099-01-01";

static QUESTIONS: &[Question] = &[
    ask(
        "school",
        At::Record,
        &[],
        identifiers,
        "`region.identifiers.urn` is a number [T]; `extended.audit_approved_at` [T]",
    ),
    ask(
        "meta of the school",
        At::Meta(&[]),
        &[],
        forms,
        "properties of a school's meta [T]",
    ),
    ask(
        "permissions",
        At::Meta(&["permissions"]),
        &[],
        writing,
        "the permission to write attendance [?]; properties of permissions [T]",
    ),
    ask(
        "access list",
        At::Meta(&["acl"]),
        &[],
        |body| form(&body["data"], 1),
        "`meta/…/acl` [T]",
    ),
    ask(
        "short list",
        At::School("rooms"),
        &[],
        pages,
        "`pagination` is missing if everything fits on one page [D]; so is `meta` at some schools [?]",
    ),
    ask(
        "list with per_page",
        At::School("rooms"),
        &[("per_page", "200")],
        pages,
        "`per_page` forces the pagination object [T]; 200 is accepted [T]",
    ),
    ask(
        "list by cursor",
        At::School("students"),
        &[("per_page", "1"), ("cursor", "true")],
        pages,
        "`cursor=true` pages a list [T]",
    ),
    ask(
        "single record",
        At::First("students"),
        &[],
        meta,
        "single records have `meta` [T]",
    ),
    ask(
        "includes of students",
        At::School("students"),
        &[("per_page", "1")],
        includes,
        "`meta.includes` lists the supported includes [T]",
    ),
    ask(
        "includes of classes",
        At::School("classes"),
        &[("per_page", "1")],
        includes,
        "the supported includes differ by MIS [T]",
    ),
    ask(
        "unknown include",
        At::School("students"),
        &[("include", "markback_probe")],
        taken,
        "an unknown include fails with 400 [T]",
    ),
    ask(
        "unknown parameter",
        At::School("rooms"),
        &[("markback_probe", "1")],
        taken,
        "unknown parameters are rejected [?]",
    ),
    ask(
        "student",
        At::School("students"),
        &[("per_page", "1")],
        forms,
        "forms of ids, `date_of_birth` and times [T]",
    ),
    ask(
        "student's year, included",
        At::School("students"),
        &[("per_page", "1"), ("include", "year,contacts")],
        |body| under(body, &["year", "contacts"]),
        "an include is wrapped in `data` [D]",
    ),
    ask(
        "contact of a student",
        At::School("students"),
        &[("per_page", "1"), ("include", "contacts")],
        relationship,
        "`relationship` of a contact, plain or wrapped [?]",
    ),
    ask(
        "employee",
        At::School("employees"),
        &[("per_page", "1"), ("include", "roles,employment_details")],
        forms,
        "roles by `role` or `name` [?]",
    ),
    ask(
        "lesson",
        At::School("lessons"),
        &[("per_page", "1")],
        forms,
        "`period_instance_id` is a number [T] or text [C]; `cancelled`, `registered`, `status` [?]",
    ),
    ask(
        "session mark",
        At::School("attendance/session"),
        &[("per_page", "1")],
        forms,
        "`minutes_late` of a session mark [?]",
    ),
    ask(
        "lesson mark",
        At::School("attendance/lesson"),
        &[("per_page", "1")],
        forms,
        "forms of a lesson mark [?]",
    ),
    ask(
        "attendance summary",
        At::School("attendance-summaries"),
        &[("per_page", "1")],
        forms,
        "columns of attendance summaries [T]",
    ),
    ask(
        "attendance codes",
        At::School("attendance-codes"),
        &[("per_page", "200")],
        |body| format!("{}; types: {}", forms(body), words(body, "type")),
        "words of `type`; `active` and dates of a code [?]",
    ),
    ask(
        "deletions",
        At::School("deletions"),
        &[("per_page", "50")],
        |body| format!("types: {}", words(body, "type")),
        "words of `type` of a deletion [T]",
    ),
    ask(
        "deletions, updated_after",
        At::School("deletions"),
        &[("per_page", "1"), ("updated_after", "2099-01-01 00:00:00")],
        filtered,
        "`updated_after` on deletions [?]",
    ),
    ask(
        "time in ISO format",
        At::School("students"),
        &[("per_page", "1"), ("updated_after", "2099-01-01T00:00:00Z")],
        filtered,
        "ISO times in `updated_after` [T]",
    ),
    ask(
        "session marks, updated_after",
        At::School("attendance/session"),
        &[("per_page", "1"), ("updated_after", "2099-01-01 00:00:00")],
        filtered,
        "`updated_after` on registers [D]",
    ),
    ask(
        "session marks, date",
        At::School("attendance/session"),
        &[("per_page", "1"), ("date", LATER)],
        filtered,
        DATE_FILTER,
    ),
    ask(
        "session marks, date_after",
        At::School("attendance/session"),
        &[("per_page", "1"), ("date_after", LATER)],
        filtered,
        DATE_FILTER,
    ),
    ask(
        "session marks, start_date",
        At::School("attendance/session"),
        &[("per_page", "1"), ("start_date", LATER)],
        filtered,
        DATE_FILTER,
    ),
    ask(
        "session marks, attendance_date_after",
        At::School("attendance/session"),
        &[("per_page", "1"), ("attendance_date_after", LATER)],
        filtered,
        DATE_FILTER,
    ),
    ask(
        "counts",
        At::School("counts"),
        &[("include", "students,contacts")],
        |body| form(&body["data"]["students"], 2),
        "form of counts [?]",
    ),
    ask(
        "writebacks",
        At::Root("writebacks"),
        &[("per_page", "50")],
        |body| {
            format!(
                "{}; statuses: {}; types: {}",
                forms(body),
                words(body, "status"),
                words(body, "type")
            )
        },
        "`GET /writebacks` [C]; words of `status` [?]",
    ),
];

const DATE_FILTER: &str = "no filter by a register's own date is known [?]";

/// Asks all questions at one school. An error response counts as an answer.
pub(super) async fn examine(client: &Client, school: &SchoolClient) -> Vec<Observation> {
    let mut found = Vec::new();
    let mut limits = BTreeSet::new();
    let id = school.id().as_str();
    for question in QUESTIONS {
        let answer = match &question.at {
            At::Root(list) => client.raw(&[list], question.query).await,
            At::Record => client.raw(&["schools", id], question.query).await,
            At::Meta(below) => {
                let path = [&["meta", "schools", id], *below].concat();
                client.raw(&path, question.query).await
            }
            At::School(path) => school.raw(path, question.query).await,
            At::First(list) => first(school, list).await,
        };
        found.push(observe(question, answer, &mut limits));
    }
    let limits: Vec<String> = limits.into_iter().collect();
    found.push(Observation {
        asked: "rate limit headers",
        found: if limits.is_empty() {
            "none".to_owned()
        } else {
            limits.join(", ")
        },
        changes: "the rate limits [?]",
    });
    found
}

async fn first(school: &SchoolClient, list: &str) -> Result<RawAnswer, Error> {
    let rows = school.raw(list, &[("per_page", "1")]).await?;
    match rows.body["data"][0]["id"].as_str() {
        Some(id) => school.raw(&format!("{list}/{id}"), &[]).await,
        None => Ok(rows),
    }
}

fn observe(
    question: &Question,
    answer: Result<RawAnswer, Error>,
    limits: &mut BTreeSet<String>,
) -> Observation {
    let found = match answer {
        Ok(answer) => {
            limits.extend(
                answer
                    .rate_limit
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}")),
            );
            (question.look)(&answer.body)
        }
        Err(error) => match error.context().status {
            Some(status) => format!("{status}: {:?}", error.kind()),
            None => format!("no response: {:?}", error.kind()),
        },
    };
    Observation {
        asked: question.asked,
        found,
        changes: question.changes,
    }
}

fn rows(body: &Value) -> &[Value] {
    body["data"].as_array().map_or(&[], Vec::as_slice)
}

fn taken(_: &Value) -> String {
    "200: accepted".to_owned()
}

fn filtered(body: &Value) -> String {
    match rows(body).len() {
        0 => "no rows: the filter works, or the list is empty".to_owned(),
        _ => "rows: the filter is ignored".to_owned(),
    }
}

fn meta(body: &Value) -> String {
    match body.get("meta") {
        Some(meta) => format!("`meta` {}", form(meta, 1)),
        None => "no `meta`".to_owned(),
    }
}

fn pages(body: &Value) -> String {
    match body.get("meta") {
        None => format!("{} rows, no `meta`", rows(body).len()),
        Some(meta) => match meta.get("pagination") {
            None => format!("{} rows, `meta` without `pagination`", rows(body).len()),
            Some(pagination) => format!(
                "{} rows, pagination {}",
                rows(body).len(),
                form(pagination, 1)
            ),
        },
    }
}

fn includes(body: &Value) -> String {
    let names = body["meta"]["includes"].as_array();
    names.map_or("no `meta.includes`".to_owned(), |names| {
        let names: Vec<&str> = names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| is_word(name))
            .collect();
        names.join(", ")
    })
}

/// The formats of the first record's properties, or of a single record.
fn forms(body: &Value) -> String {
    match rows(body).first() {
        Some(row) => form(row, 2),
        None if body["data"].is_array() => "no rows".to_owned(),
        None => form(&body["data"], 2),
    }
}

fn under(body: &Value, names: &[&str]) -> String {
    let row = rows(body).first().unwrap_or(&Value::Null);
    let forms: Vec<String> = names
        .iter()
        .map(|name| format!("{name} {}", form(&row[*name], 1)))
        .collect();
    forms.join(", ")
}

fn relationship(body: &Value) -> String {
    let row = rows(body).first().unwrap_or(&Value::Null);
    form(&row["contacts"]["data"][0]["relationship"], 2)
}

fn identifiers(body: &Value) -> String {
    let school = &body["data"];
    format!(
        "extended {}, region {}",
        form(&school["extended"], 1),
        form(&school["region"], 2)
    )
}

fn writing(body: &Value) -> String {
    let of_attendance = |permission: &&Value| {
        let text = permission["identity"].as_str().unwrap_or_default();
        text.to_lowercase().contains("attendance")
    };
    let named: BTreeSet<&str> = rows(body)
        .iter()
        .filter(of_attendance)
        .filter_map(|permission| permission["identity"].as_str())
        .filter(|identity| is_word(identity))
        .collect();
    let named: Vec<&str> = named.into_iter().collect();
    format!("{}; of attendance: {}", forms(body), named.join(", "))
}

/// The distinct words of a property of the rows.
fn words(body: &Value, property: &str) -> String {
    let words: BTreeSet<&str> = rows(body)
        .iter()
        .filter_map(|row| row[property].as_str())
        .filter(|word| is_word(word))
        .collect();
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Whether a text is one machine-readable word. A forename can be one too, so this is only applied to properties that
/// name no person: `type`, `status`, `identity` and the names of includes.
fn is_word(text: &str) -> bool {
    text.len() <= 60
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
}

/// The format of a value: property names and kinds of values, to this depth.
fn form(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "flag".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) => sort_of(text).to_owned(),
        Value::Array(list) => match list.first() {
            Some(first) if depth > 0 => format!("[{}]", form(first, depth - 1)),
            Some(_) => "[…]".to_owned(),
            None => "[]".to_owned(),
        },
        Value::Object(map) if map.contains_key("timezone_type") => match map["date"].as_str() {
            Some(date) if date.contains('.') => "time object with fraction".to_owned(),
            _ => "time object without fraction".to_owned(),
        },
        Value::Object(_) if depth == 0 => "{…}".to_owned(),
        Value::Object(map) => {
            // The keys of some maps are a pupil's codes.
            let named = map.iter().filter(|(name, _)| is_property(name));
            let parts = named.map(|(name, value)| format!("{name}: {}", form(value, depth - 1)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
    }
}

fn is_property(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn sort_of(text: &str) -> &'static str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    match text.strip_prefix('A') {
        Some(rest) if digits(rest) => "id",
        _ if digits(text) => "digits as text",
        _ if shape == "0000-00-00" => "date as text",
        _ if shape == "00:00:00" || shape == "00:00" => "time of day",
        _ if text.starts_with("http") => "link",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{form, forms, is_word, words};

    #[test]
    fn forms_contain_no_value() {
        let body = json!({"data": [{
            "id": "A1749191433", "forename": "Ruth", "born": "2010-02-11", "late": 7,
            "created_at": {"date": "2015-10-29 14:53:44.000000", "timezone_type": 3, "timezone": "UTC"},
            "year": {"data": {"name": "Secret", "members": ["x"]}}, "codes": {"I": 1},
        }]});
        assert_eq!(
            forms(&body),
            "{born: date as text, codes: {}, created_at: time object with fraction, forename: text, id: id, late: number, \
             year: {data: {…}}}"
        );
        assert_eq!(form(&json!("7"), 0), "digits as text");
    }

    #[test]
    fn only_machine_readable_words_are_repeated() {
        let body = json!({"data": [{"status": "completed"}, {"status": "Zoë"}, {"status": "Ada Lovelace"}]});
        assert_eq!(words(&body, "status"), "completed");
        assert!(is_word("attendance-session.write") && !is_word("a name"));
    }
}
