//! Schools, for support: each with its state, what rests and why, what its adapter can do there, and a check of its
//! connection.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};
use markback::{
    doctor::{Examination, Verdict},
    overview::{self, SchoolOverview},
    service::{EventState, Markback},
    settings::Owner,
};
use mis_core::{Ability, SchoolId};

use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, Section, base, html},
    view::said::{counted, day_and_time},
    visitor::{AtSchool, Role, Visitor},
};

pub(super) fn routes() -> Router<Markback> {
    Router::new().route("/schools", get(list)).route(
        "/schools/{school}/connection",
        get(connection).post(examine),
    )
}

#[derive(Template)]
#[template(path = "schools.html")]
struct ListPage {
    frame: Frame,
    schools: Vec<Line>,
}

struct Line {
    id: String,
    name: Option<String>,
    href: String,
    problems: String,
    needs: bool,
    state: String,
    rests: bool,
    mis: String,
    settings: String,
    notes: Vec<String>,
}

async fn list(State(markback): State<Markback>, visitor: Visitor) -> Result<Response, PageError> {
    let all = markback.configuration().await;
    let found = overview::schools(&all, markback.store()).await?;
    let seen = found
        .iter()
        .filter(|school| visitor.sees(&SchoolId::from(school.id.as_str())));
    html(&ListPage {
        schools: seen.map(line).collect(),
        frame: Frame::of_section("Schools", &visitor, Section::Schools),
    })
}

fn line(school: &SchoolOverview) -> Line {
    let count = |state: EventState| {
        school
            .events
            .get(state.as_str())
            .copied()
            .unwrap_or_default()
    };
    let needing = EventState::ALL.iter().filter(|state| state.needs_person());
    let needing: u64 = needing.map(|state| count(*state)).sum();
    let needing = usize::try_from(needing).unwrap_or(usize::MAX);
    let id = SchoolId::from(school.id.as_str());
    let rules = school.owner.is_some();
    Line {
        id: school.id.clone(),
        name: school.name.clone(),
        href: if rules {
            format!("{}/connection", base(&id))
        } else {
            String::new()
        },
        problems: counted(needing, "event needs somebody", "events need somebody"),
        needs: needing > 0,
        rests: school.paused.is_some(),
        state: state_of(school),
        mis: mis_of(school),
        settings: settings_of(school),
        notes: school.notes.clone(),
    }
}

fn state_of(school: &SchoolOverview) -> String {
    match (&school.paused, &school.last_error) {
        (Some(pause), _) => format!("rests: {}", pause.reason),
        (None, Some(error)) => error.clone(),
        (None, None) if school.owner.is_none() && school.removed => "taken out".to_owned(),
        (None, None) if school.owner.is_none() => "a draft, which does not count yet".to_owned(),
        (None, None) if !school.people_read => "its people have not been read yet".to_owned(),
        (None, None) => "works".to_owned(),
    }
}

fn mis_of(school: &SchoolOverview) -> String {
    match (&school.mis_found, &school.mis) {
        (Some(found), Some(named)) if found != named => {
            format!("{found} (the settings say {named})")
        }
        (Some(one), _) | (None, Some(one)) => one.clone(),
        (None, None) => "not known yet".to_owned(),
    }
}

fn settings_of(school: &SchoolOverview) -> String {
    let owner = match school.owner {
        Some(Owner::File) => "settings file".to_owned(),
        Some(_) => school.version.clone().unwrap_or_default(),
        None => String::new(),
    };
    match school.draft {
        Some(draft) if owner.is_empty() => format!("draft {draft}"),
        Some(draft) => format!("{owner}, draft {draft}"),
        None => owner,
    }
}

#[derive(Template)]
#[template(path = "connection.html")]
struct ConnectionPage {
    frame: Frame,
    line: Line,
    adapter: Option<AdapterView>,
    unread: Option<String>,
    checks: Option<Checks>,
    here: String,
    may_check: bool,
}

struct AdapterView {
    name: &'static str,
    notes: &'static str,
    as_of: String,
    grants: Vec<(&'static str, &'static str)>,
    abilities: Vec<AbilityLine>,
}

struct AbilityLine {
    name: &'static str,
    declared: bool,
    granted: bool,
    effective: bool,
    why: &'static str,
}

struct Checks {
    ok: bool,
    requests: String,
    lines: Vec<CheckLine>,
}

struct CheckLine {
    asked: &'static str,
    class: &'static str,
    word: &'static str,
    found: String,
    help: Option<String>,
}

async fn connection(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    connection_page(&markback, &at, None).await
}

/// Checks the connection; this takes a few requests, so it is not done by only opening the page.
async fn examine(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let settings = markback.settings();
    let examined = markback.schools().examine(&settings, &at.school).await;
    let examined = examined
        .map_err(|busy| PageError::new(ErrorKind::Unavailable).detail(format!("{busy}.")))?;
    connection_page(&markback, &at, Some(checks(examined))).await
}

fn checks(examined: Examination) -> Checks {
    let requests = usize::try_from(examined.requests).unwrap_or_default();
    Checks {
        ok: examined.ok,
        requests: counted(requests, "request", "requests"),
        lines: examined
            .findings
            .into_iter()
            .map(|one| {
                let (class, word) = match one.verdict {
                    Verdict::Ok => ("done", "in order"),
                    Verdict::Warn => ("way", "look at it"),
                    Verdict::Fail => ("needs", "wrong"),
                };
                CheckLine {
                    asked: one.asked,
                    class,
                    word,
                    found: one.found,
                    help: one.help,
                }
            })
            .collect(),
    }
}

async fn connection_page(
    markback: &Markback,
    at: &AtSchool,
    checks: Option<Checks>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let all = markback.configuration().await;
    let found = overview::schools(&all, markback.store()).await?;
    let own = found.iter().find(|one| one.id == school.id.as_str());
    let line = own
        .map(line)
        .ok_or_else(|| PageError::new(ErrorKind::NotFound))?;
    let asked = markback
        .schools()
        .adapter_of(markback.store(), school)
        .await?;
    let (adapter, unread) = match asked {
        Ok(found) => {
            let abilities = Ability::ALL.into_iter().map(|ability| AbilityLine {
                name: ability_words(ability),
                declared: found.adapter.capabilities.has(ability),
                granted: found.granted.has(ability),
                effective: found.effective.has(ability),
                why: found
                    .missing
                    .iter()
                    .find(|missing| missing.ability == ability)
                    .map_or("", |missing| missing.why),
            });
            let grants = found.grants.map(|grants| {
                [
                    ("Approved by the school at Wonde", grants.approved),
                    ("Wonde can write into the MIS", grants.allows_writeback),
                    ("Writing attendance is allowed", grants.attendance_write),
                    ("The MIS is reached now", grants.online),
                ]
            });
            let said = |said: Option<bool>| match said {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not reported",
            };
            let view = AdapterView {
                name: found.adapter.name,
                notes: found.adapter.notes,
                as_of: day_and_time(found.as_of, school.timezone),
                grants: grants
                    .into_iter()
                    .flatten()
                    .map(|(words, grant)| (words, said(grant)))
                    .collect(),
                abilities: abilities.collect(),
            };
            (Some(view), None)
        }
        Err(error) => (None, Some(error.to_string())),
    };
    html(&ConnectionPage {
        frame: Frame::of_school("Connection", &at.visitor, school, None),
        line,
        adapter,
        unread,
        checks,
        here: format!("{}/connection", base(&school.id)),
        may_check: at.visitor.may(Role::Set),
    })
}

fn ability_words(ability: Ability) -> &'static str {
    match ability {
        Ability::Session => "marks",
        Ability::Comment => "comments with marks",
        Ability::MinutesLate => "minutes late",
        Ability::EarlyLeaver => "marks for leaving early",
        Ability::Roster => "people and groups",
    }
}
