//! Today: a school's day as a picture and in numbers, and on top what needs a person.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use chrono::{DateTime, Days, NaiveDate, Utc};
use markback::{
    audit_log::AuditAction,
    day::{Day, DayEvent},
    problems::{Cause, Problems, find},
    service::{EventState, Markback},
};
use mis_core::EventKind;
use serde::Deserialize;
use writeback::SchoolDay;

use crate::{
    error::PageError,
    layout::{Frame, Section, base, html},
    view::{
        count,
        picture::{self, Picture},
        quarters::{Quarter, quarters},
        reason::reason,
        state::{Outcome, word},
        time::{ago, clock, clock_to_the_second, day, day_asked},
        who::{Roll, Who},
    },
    visitor::AtSchool,
};

/// So many of the latest events are listed.
const LATEST: usize = 25;
/// So many causes are shown, and so many people of each.
const CAUSES: usize = 8;
const PEOPLE: usize = 4;
/// So many events are on a page of the whole list.
const PER_PAGE: usize = 200;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/schools/{school}/today", get(today))
        .route("/schools/{school}/events", get(events))
}

#[derive(Deserialize)]
struct Asked {
    date: Option<String>,
}

#[derive(Template)]
#[template(path = "today.html")]
struct Today {
    frame: Frame,
    days: DaySwitch,
    updated: String,
    register: String,
    closed: Option<String>,
    differing: Option<String>,
    other_times: Vec<String>,
    causes: Vec<CauseLine>,
    more_causes: usize,
    counts: Vec<Count>,
    say: String,
    picture: Picture,
    told: String,
    quarters: Vec<Quarter>,
    latest: Vec<Row>,
    all: String,
    total: usize,
    more: bool,
    people_known: bool,
}

/// The day of a page, and the way to others.
pub(super) struct DaySwitch {
    /// The page's own address, without a date.
    pub(super) path: String,
    pub(super) date: NaiveDate,
    pub(super) before: NaiveDate,
    pub(super) after: Option<NaiveDate>,
    pub(super) today: NaiveDate,
}

impl DaySwitch {
    pub(super) fn new(path: String, date: NaiveDate, today: NaiveDate) -> Self {
        let next = date.checked_add_days(Days::new(1));
        Self {
            path,
            date,
            before: date.checked_sub_days(Days::new(1)).unwrap_or(date),
            after: next.filter(|next| *next <= today),
            today,
        }
    }

    pub(super) fn is_today(&self) -> bool {
        self.date == self.today
    }
}

/// Events that need a person for one reason.
struct CauseLine {
    count: usize,
    outcome: Outcome,
    title: String,
    cure: String,
    people: Vec<Who>,
    others: usize,
    href: String,
}

/// A number with its word, and the shape that it has in the picture.
struct Count {
    number: usize,
    label: &'static str,
    outcome: Option<Outcome>,
    href: String,
}

/// An event in a list.
pub(super) struct Row {
    time: String,
    who: Who,
    what: &'static str,
    code: Option<String>,
    outcome: Outcome,
    word: String,
}

async fn today(
    State(markback): State<Markback>,
    at: AtSchool,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let timezone = at.school.timezone;
    let now = markback.clock().now();
    let today = now.with_timezone(&timezone).date_naive();
    let date = day_asked(asked.date.as_deref(), today);
    let shown = markback.day(&at.school, date).await?;
    let roll = Roll::of(&markback, &at.school).await?;
    let own = base(&at.school.id);
    let of_day = format!("{own}/events?date={date}");
    let is_today = date == today;
    // Today, what is left of the days before needs somebody too.
    let only = (!is_today).then_some(date);
    let (store, settings) = (markback.store(), markback.settings());
    let found = find(store, &settings, &at.school.id, only, only).await?;
    let amount = shown.events.len().max(found.events());
    at.looks_at(&markback, AuditAction::EventsListed, amount)
        .await?;
    let causes = cause_lines(&found, &roll, &format!("{own}/problems"), is_today);
    let title = day(date, today);
    let mut frame = Frame::of_school(title, &at.visitor, &at.school, Some(Section::Today));
    if is_today {
        frame = frame.live();
    }
    let counts = counts(&shown.events, &of_day);
    let latest = shown.events.iter().rev().take(LATEST);
    html(&Today {
        days: DaySwitch::new(format!("{own}/today"), date, today),
        updated: clock_to_the_second(now, timezone),
        register: match shown.register_read_at {
            Some(read_at) => format!("the register was read {}", ago(read_at, now, timezone)),
            None => "the register has not been read yet".to_owned(),
        },
        closed: closed(&shown.school_day),
        differing: shown
            .times
            .first()
            .and_then(|of| of.times.differing.clone()),
        other_times: other_times(&shown),
        more_causes: causes.len().saturating_sub(CAUSES),
        causes: causes.into_iter().take(CAUSES).collect(),
        say: say(&counts),
        counts,
        told: told(&shown),
        picture: picture::draw(&shown, timezone, is_today.then_some(now)),
        quarters: quarters(&shown.events, timezone),
        latest: latest.map(|event| row(event, &roll, timezone)).collect(),
        all: of_day,
        total: shown.events.len(),
        more: shown.more,
        people_known: roll.is_known(),
        frame,
    })
}

/// Why there is no school, if there is none.
fn closed(school_day: &SchoolDay) -> Option<String> {
    match school_day {
        SchoolDay::Closed { why, source } => Some(format!("{why}, according to {source}")),
        SchoolDay::NoCalendar | SchoolDay::Open | SchoolDay::Unknown { .. } => None,
    }
}

/// The groups whose times are not those of the picture.
fn other_times(day: &Day) -> Vec<String> {
    let Some(first) = day.times.first() else {
        return Vec::new();
    };
    let others = day.times.iter().filter(|of| of.times != first.times);
    others
        .map(|of| {
            let (am, pm) = (of.times.am, of.times.pm);
            let times = [
                ("late after", [am.late, pm.late]),
                ("register closes", [am.unauthorised, pm.unauthorised]),
            ];
            let words = times.into_iter().filter_map(|(what, times)| {
                let times: Vec<_> = times
                    .into_iter()
                    .flatten()
                    .map(|time| time.format("%H:%M").to_string())
                    .collect();
                (!times.is_empty()).then(|| format!("{what} {}", times.join(" and ")))
            });
            format!("{}: {}", of.group, words.collect::<Vec<_>>().join(", "))
        })
        .collect()
}

/// The picture in a sentence.
fn told(day: &Day) -> String {
    let ins = number(&day.events, |event| event.kind == EventKind::SignIn);
    let outs = number(&day.events, |event| event.kind == EventKind::SignOut);
    format!(
        "The day by time: {} above the line, {} below it, each by its outcome. The table by quarters of an hour has the \
         same in numbers.",
        count(ins, "sign-in"),
        count(outs, "sign-out")
    )
}

fn number(events: &[DayEvent], is: impl Fn(&DayEvent) -> bool) -> usize {
    events.iter().filter(|event| is(event)).count()
}

fn counts(events: &[DayEvent], of_day: &str) -> Vec<Count> {
    let kinds = [
        (EventKind::SignIn, "sign-in", "sign-ins", "in"),
        (EventKind::SignOut, "sign-out", "sign-outs", "out"),
    ];
    let kinds = kinds.map(|(kind, one, many, word)| {
        let number = number(events, |event| event.kind == kind);
        Count {
            number,
            label: if number == 1 { one } else { many },
            outcome: None,
            href: format!("{of_day}&kind={word}"),
        }
    });
    let outcomes = Outcome::ALL.iter().map(|outcome| {
        let number = number(events, |event| Outcome::of(event.state) == *outcome);
        Count {
            number,
            label: outcome.after(number),
            outcome: Some(*outcome),
            href: format!("{of_day}&outcome={}", outcome.class()),
        }
    });
    // What needs nobody and is not there is not worth a place.
    kinds
        .into_iter()
        .chain(outcomes.filter(|count| count.number > 0 || count.outcome == Some(Outcome::Done)))
        .collect()
}

/// What is said when the numbers have changed.
fn say(counts: &[Count]) -> String {
    let said: Vec<_> = counts
        .iter()
        .filter(|count| count.number > 0)
        .map(|count| format!("{} {}", count.number, count.label))
        .collect();
    said.join(", ")
}

/// What needs a person, as lines. `anchored` tells whether the page of the problems has the same causes in the same order.
fn cause_lines(found: &Problems, roll: &Roll, problems: &str, anchored: bool) -> Vec<CauseLine> {
    let line = |(place, cause): (usize, &Cause)| {
        // Somebody with two events is named once.
        let people: BTreeMap<_, _> = cause
            .events
            .iter()
            .map(|event| (&event.person, event.kind_of_person))
            .collect();
        let named = people.iter().take(PEOPLE);
        let named: Vec<_> = named
            .map(|(person, kind)| roll.who_is(person, *kind))
            .collect();
        CauseLine {
            count: cause.count,
            outcome: match Outcome::of(cause.state) {
                // A code that the MIS does not know: nothing is written until somebody changes it.
                Outcome::Nothing | Outcome::Done => Outcome::Needs,
                outcome => outcome,
            },
            title: cause.title.clone(),
            cure: cause.cure.clone(),
            others: people.len().saturating_sub(named.len()),
            people: named,
            href: if anchored {
                format!("{problems}#cause-{}", place.saturating_add(1))
            } else {
                problems.to_owned()
            },
        }
    };
    let mut lines: Vec<_> = found.causes.iter().enumerate().map(line).collect();
    // What is wrong comes before what only waits.
    lines.sort_by_key(|line| line.outcome);
    lines
}

fn row(event: &DayEvent, roll: &Roll, timezone: chrono_tz::Tz) -> Row {
    let outcome = Outcome::of(event.state);
    Row {
        time: clock(event.at, timezone),
        who: roll.who(event),
        what: what(event.kind),
        // A code that is not written is no mark.
        code: event.code.clone().filter(|_| outcome != Outcome::Nothing),
        outcome,
        word: match (event.state, event.reason) {
            (EventState::Skipped, Some(why)) => reason(why).to_owned(),
            (state, _) => word(state).to_owned(),
        },
    }
}

/// What somebody did, as a list says it.
pub(super) fn what(kind: EventKind) -> &'static str {
    match kind {
        EventKind::SignIn => "signed in",
        EventKind::SignOut => "signed out",
    }
}

#[derive(Deserialize)]
struct Wanted {
    date: Option<String>,
    kind: Option<String>,
    outcome: Option<String>,
    /// A quarter of an hour by its beginning: `08:45`.
    from: Option<String>,
    page: Option<usize>,
}

#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    frame: Frame,
    days: DaySwitch,
    today: String,
    filters: Vec<Filter>,
    latest: Vec<Row>,
    total: usize,
    from: usize,
    until: usize,
    earlier: Option<String>,
    later: Option<String>,
    more: bool,
}

/// A way to another selection of the list.
struct Filter {
    label: String,
    href: String,
    is_current: bool,
}

async fn events(
    State(markback): State<Markback>,
    at: AtSchool,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let timezone = at.school.timezone;
    let now = markback.clock().now();
    let today = now.with_timezone(&timezone).date_naive();
    let date = day_asked(wanted.date.as_deref(), today);
    let shown = markback.day(&at.school, date).await?;
    let roll = Roll::of(&markback, &at.school).await?;
    let found: Vec<_> = shown
        .events
        .iter()
        .filter(|event| wanted.takes(event, timezone))
        .collect();
    let page = wanted.page.unwrap_or(1).max(1);
    let skipped = page.saturating_sub(1).saturating_mul(PER_PAGE);
    let rows: Vec<_> = found
        .iter()
        .skip(skipped)
        .take(PER_PAGE)
        .map(|event| row(event, &roll, timezone))
        .collect();
    at.looks_at(&markback, AuditAction::EventsListed, rows.len())
        .await?;
    let own = base(&at.school.id);
    let path = format!("{own}/events");
    let query = |page: usize| format!("{path}?{}&page={page}", wanted.query(date));
    let until = skipped.saturating_add(rows.len());
    let title = format!("Sign-ins and sign-outs, {}", day(date, today));
    html(&Events {
        frame: Frame::of_school(title, &at.visitor, &at.school, Some(Section::Today)),
        today: format!("{own}/today?date={date}"),
        filters: filters(&wanted, &path, date),
        total: found.len(),
        from: skipped.saturating_add(1).min(found.len()),
        until,
        earlier: (page > 1).then(|| query(page - 1)),
        later: (until < found.len()).then(|| query(page.saturating_add(1))),
        days: DaySwitch::new(path, date, today),
        more: shown.more,
        latest: rows,
    })
}

impl Wanted {
    fn takes(&self, event: &DayEvent, timezone: chrono_tz::Tz) -> bool {
        let kind = match event.kind {
            EventKind::SignIn => "in",
            EventKind::SignOut => "out",
        };
        let outcome = Outcome::of(event.state).class();
        let fits = |wanted: &Option<String>, own: &str| {
            wanted
                .as_deref()
                .is_none_or(|wanted| wanted.is_empty() || wanted == own)
        };
        fits(&self.kind, kind)
            && fits(&self.outcome, outcome)
            && fits(&self.from, &quarter(event.at, timezone))
    }

    /// As a query, without the page. Only words that we know are repeated.
    fn query(&self, date: NaiveDate) -> String {
        let mut query = format!("date={date}");
        for (name, value) in [
            ("kind", &self.kind),
            ("outcome", &self.outcome),
            ("from", &self.from),
        ] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                query.push_str(&format!("&{name}={}", crate::layout::segment(value)));
            }
        }
        query
    }
}

/// The beginning of an event's quarter of an hour.
fn quarter(at: DateTime<Utc>, timezone: chrono_tz::Tz) -> String {
    use chrono::Timelike as _;
    let time = at.with_timezone(&timezone).time();
    format!("{:02}:{:02}", time.hour(), time.minute() / 15 * 15)
}

fn filters(wanted: &Wanted, path: &str, date: NaiveDate) -> Vec<Filter> {
    let nothing = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    let none = nothing(&wanted.kind) && nothing(&wanted.outcome) && nothing(&wanted.from);
    let mut filters = vec![Filter {
        label: "All".to_owned(),
        href: format!("{path}?date={date}"),
        is_current: none,
    }];
    filters.extend(
        [("Sign-ins", "in"), ("Sign-outs", "out")].map(|(label, kind)| Filter {
            label: label.to_owned(),
            href: format!("{path}?date={date}&kind={kind}"),
            is_current: wanted.kind.as_deref() == Some(kind),
        }),
    );
    filters.extend(Outcome::ALL.iter().map(|outcome| {
        let word = outcome.class();
        Filter {
            label: first_upper(outcome.words()),
            href: format!("{path}?date={date}&outcome={word}"),
            is_current: wanted.outcome.as_deref() == Some(word),
        }
    }));
    if let Some(from) = wanted.from.as_deref().filter(|from| !from.is_empty()) {
        filters.push(Filter {
            label: format!("From {from}, a quarter of an hour"),
            href: format!("{path}?{}", wanted.query(date)),
            is_current: true,
        });
    }
    filters
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
