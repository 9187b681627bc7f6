//! A person's day: what the register says now, why, and each event with its decision.

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    response::Response,
    routing::get,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use markback::{
    audit_log::AuditAction,
    day::{DayEvent, RegisterNow, SessionNow},
    service::{EventRecord, Markback},
    store::Stage,
};
use mis_core::{HeldCode, PersonKind, StudentId};
use roster::{Entry, PersonMatch};
use serde::Deserialize;

use super::today::{DaySwitch, what};
use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, Section, base, html, segment},
    view::{
        state::{Outcome, word},
        story::{Story, headline},
        time::{ago, clock_to_the_second, day_asked},
        who::{Roll, Who},
    },
    visitor::AtSchool,
};

pub(super) fn routes() -> Router<Markback> {
    Router::new().route("/schools/{school}/people/{person}", get(person))
}

#[derive(Deserialize)]
struct Asked {
    date: Option<String>,
    kind: Option<String>,
}

#[derive(Template)]
#[template(path = "person.html")]
struct Person {
    frame: Frame,
    place: String,
    days: DaySwitch,
    kind: &'static str,
    headline: String,
    tone: Outcome,
    register: Option<Register>,
    events: Vec<Happened>,
    group: Option<String>,
    writes: bool,
}

#[derive(Template)]
#[template(path = "which_person.html")]
struct WhichPerson {
    frame: Frame,
    people: Vec<Who>,
}

/// What the register says.
struct Register {
    read: String,
    sessions: [SessionCard; 2],
}

/// What the register says about a session.
struct SessionCard {
    name: &'static str,
    code: String,
    about: Vec<String>,
}

/// An event of the day.
struct Happened {
    id: String,
    time: String,
    what: &'static str,
    code: Option<String>,
    outcome: Outcome,
    word: &'static str,
    story: Story,
}

async fn person(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, key)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let kind = asked.kind.as_deref().and_then(kind_of);
    let roll = Roll::of(&markback, &at.school).await?;
    let entry = match roll.find(&key, kind) {
        PersonMatch::One(entry) => entry,
        PersonMatch::Nobody => return Err(PageError::new(ErrorKind::NotFound)),
        PersonMatch::Several(people) => {
            at.looks_at(&markback, AuditAction::PeopleFound, people.len())
                .await?;
            let frame = Frame::of_school("Which person?", &at.visitor, &at.school, None);
            let people = people.iter().map(|entry| roll.named(entry)).collect();
            return html(&WhichPerson { frame, people });
        }
    };
    let timezone = at.school.timezone;
    let now = markback.clock().now();
    let today = now.with_timezone(&timezone).date_naive();
    let date = day_asked(asked.date.as_deref(), today);
    let shown = markback.day(&at.school, date).await?;
    let own = |event: &&DayEvent| roll.entry(event).is_some_and(|found| found == entry);
    let own: Vec<_> = shown.events.iter().filter(own).collect();
    at.looks_at_person(
        &markback,
        AuditAction::PersonShown,
        entry.key.as_str(),
        own.len(),
    )
    .await?;
    let mut records = Vec::new();
    for event in own {
        if let Some(record) = markback.event(&at.school.id, &event.id).await? {
            records.push((event, record));
        }
    }
    let group = entry.group.as_deref();
    let writes = group
        .and_then(|name| at.school.group(name))
        .is_some_and(|group| group.rules.is_some());
    let register = if entry.kind == PersonKind::Student {
        let student = StudentId::from(entry.id.as_str());
        let register = markback.register_now(&at.school, &student, date).await?;
        Some(Register::of(&register, now, timezone))
    } else {
        None
    };
    let who = roll.named(entry);
    let called = roll
        .known(entry)
        .and_then(|known| known.forename.clone())
        .unwrap_or_else(|| who.name.clone());
    let (headline, tone) = headline(&called, &records, timezone, reason_for_none(entry, writes));
    let mut frame = Frame::of_school(who.name, &at.visitor, &at.school, Some(Section::Today));
    if date == today {
        frame = frame.live();
    }
    let path = format!("{}/people/{}", base(&at.school.id), segment(&key));
    html(&Person {
        place: who.place,
        days: DaySwitch::new(path, date, today),
        kind: asked.kind.as_deref().and_then(kind_of).map_or("", word_of),
        headline,
        tone,
        register,
        // The latest first: that is what somebody asks about.
        events: records
            .iter()
            .rev()
            .map(|(event, record)| happened(&called, event, record, timezone))
            .collect(),
        group: entry.group.clone(),
        writes,
        frame,
    })
}

fn kind_of(word: &str) -> Option<PersonKind> {
    match word {
        "student" => Some(PersonKind::Student),
        "staff" => Some(PersonKind::Staff),
        "parent" => Some(PersonKind::Parent),
        _ => None,
    }
}

fn word_of(kind: PersonKind) -> &'static str {
    match kind {
        PersonKind::Student => "student",
        PersonKind::Staff => "staff",
        PersonKind::Parent => "parent",
    }
}

/// Why there may be no mark of somebody even without an event.
fn reason_for_none(entry: &Entry, writes: bool) -> Option<String> {
    if entry.kind != PersonKind::Student {
        return Some("marks are written for students only".to_owned());
    }
    match (&entry.group, writes) {
        (None, _) => Some("no group of the settings takes this student".to_owned()),
        (Some(group), false) => Some(format!("marks are not written for the group “{group}”")),
        (Some(_), true) => None,
    }
}

fn happened(called: &str, event: &DayEvent, record: &EventRecord, timezone: Tz) -> Happened {
    let outcome = Outcome::of(event.state);
    Happened {
        id: event.id.clone(),
        time: clock_to_the_second(event.at, timezone),
        what: what(event.kind),
        code: event.code.clone(),
        outcome,
        word: word(record.state),
        story: Story::of(called, event, record, timezone),
    }
}

impl Register {
    fn of(register: &RegisterNow, now: DateTime<Utc>, timezone: Tz) -> Self {
        let read = match &register.read_at {
            Ok(at) => format!("As read {}.", ago(*at, now, timezone)),
            Err(why) => format!("The register cannot be shown at the moment: {why}."),
        };
        let read_at = register.read_at.as_ref().ok().copied();
        let card = |name, session: &SessionNow| SessionCard::of(name, session, read_at, timezone);
        Self {
            read,
            sessions: [
                card("Morning", &register.am),
                card("Afternoon", &register.pm),
            ],
        }
    }
}

impl SessionCard {
    fn of(
        name: &'static str,
        session: &SessionNow,
        read_at: Option<DateTime<Utc>>,
        timezone: Tz,
    ) -> Self {
        let mut about = Vec::new();
        let held = match &session.held {
            Some(HeldCode::Known(code)) => Some(code.as_str()),
            Some(HeldCode::Unreadable(_)) => {
                about.push("The register has a mark whose code cannot be read.".to_owned());
                Some("?")
            }
            None => None,
        };
        let mut shown = held;
        if let Some(own) = &session.own {
            let (code, since) = (own.code.as_str(), clock_to_the_second(own.since, timezone));
            let same = held == Some(code);
            let later = read_at.is_none_or(|read_at| read_at < own.since);
            match own.stage {
                _ if own.held => {
                    about.push(format!("A mark {code} waits for a release since {since}."))
                }
                Stage::Planned => {
                    about.push(format!("A mark {code} is about to be sent since {since}."))
                }
                Stage::Accepted => {
                    about.push(format!("A mark {code} is on its way since {since}."))
                }
                Stage::Confirmed if same => {
                    about.push(format!("Our mark; in the register since {since}."))
                }
                // What was read is older than our mark.
                Stage::Confirmed if later => {
                    shown = Some(code);
                    about.push(format!(
                        "Our mark; in the register since {since}, after it was last read."
                    ));
                }
                Stage::Confirmed => about.push(format!(
                    "Our mark {code} was in the register at {since}; somebody has changed it since."
                )),
            }
        } else if held.is_some() {
            about.push("Entered at the school, not by a sign-in.".to_owned());
        }
        if shown.is_none() {
            about.insert(0, "No mark.".to_owned());
        }
        Self {
            name,
            code: shown.unwrap_or("–").to_owned(),
            about,
        }
    }
}
