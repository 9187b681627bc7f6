//! The front desk: the office signs somebody in or out by hand, sees before what mark that makes, and corrects what was
//! wrong.

mod replace;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use markback::{
    audit_log::AuditAction,
    correction::{Correction, Effect, correct, effect},
    desk::{Entry, Expectation, ExpectationError, new_id},
    operator::OperatorError,
    people::KnownPerson,
    pipeline::{InputProblem, IntakeError},
    service::{EventRecord, Markback},
    settings::School,
    store::EventFilter,
};
use mis_core::{EventKind, HeldCode, PersonKind};
use roster::PersonKey;
use serde::Deserialize;
use writeback::{DecisionOutcome, SkipReason, settings::Field};

use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, Section, base, html, segment},
    view::{
        said::{counted, day_and_time, field, form},
        state::word,
        who::Roll,
    },
    visitor::{AtSchool, Role},
};

/// So many people are shown for a search.
const FOUND_MAX: usize = 20;
/// So many of a person's latest events are shown.
const EVENTS_SHOWN: u32 = 10;
/// What precedes the name of a field in a form.
const ANSWER: &str = "answer:";

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/schools/{school}/desk", get(search))
        .route(
            "/schools/{school}/desk/{kind}/{person}",
            get(open).post(look),
        )
        .route("/schools/{school}/desk/{kind}/{person}/sign", post(sign))
        .route("/schools/{school}/desk/events/{event}", get(made))
        .route(
            "/schools/{school}/desk/events/{event}/correct",
            get(ask_to_correct).post(withdraw),
        )
        .merge(replace::routes())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Search {
    q: String,
}

#[derive(Template)]
#[template(path = "desk.html")]
struct SearchPage {
    frame: Frame,
    typed: String,
    found: Vec<FoundPerson>,
    said: Option<String>,
}

struct FoundPerson {
    name: String,
    form: String,
    group: Option<String>,
    href: String,
}

async fn search(
    State(markback): State<Markback>,
    at: AtSchool,
    Query(Search { q }): Query<Search>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let base = base(&at.school.id);
    let Found { people, said } = found(&markback, &at, &q, |person| desk_of(&base, person)).await?;
    html(&SearchPage {
        frame: Frame::of_school(
            "Front desk",
            &at.visitor,
            &at.school,
            Some(Section::FrontDesk),
        ),
        typed: q.trim().to_owned(),
        found: people,
        said,
    })
}

/// Who was found, and a sentence about it.
struct Found {
    people: Vec<FoundPerson>,
    said: Option<String>,
}

/// Searches for people; each leads to an address.
async fn found(
    markback: &Markback,
    at: &AtSchool,
    typed: &str,
    href: impl Fn(&KnownPerson) -> String,
) -> Result<Found, PageError> {
    let names = Roll::of(markback, &at.school).await?;
    let typed = typed.trim();
    let (found, all) = match names.people() {
        Some(people) => people.search(typed, FOUND_MAX),
        None => (Vec::new(), 0),
    };
    let said = match (names.people(), typed.is_empty(), all) {
        (None, _, _) => Some(
            "The school’s people have not been read yet. Try again in a few minutes.".to_owned(),
        ),
        (_, true, _) => None,
        (_, false, 0) => Some(format!("Nobody at the school is found by “{typed}”.")),
        (_, false, all) if all > found.len() => Some(format!(
            "The first {} of {all}; type more to find others.",
            found.len()
        )),
        (_, false, all) => Some(format!("{} found.", counted(all, "person", "people"))),
    };
    at.looks_at(markback, AuditAction::PeopleFound, found.len())
        .await?;
    let people = found.iter().map(|person| FoundPerson {
        name: person.name(),
        form: form(person),
        group: person.group.clone(),
        href: href(person),
    });
    Ok(Found {
        people: people.collect(),
        said,
    })
}

fn desk_of(base: &str, person: &KnownPerson) -> String {
    let kind = kind_word(person.kind);
    format!("{base}/desk/{kind}/{}", segment(person.key.as_str()))
}

fn kind_word(kind: PersonKind) -> &'static str {
    match kind {
        PersonKind::Student => "student",
        PersonKind::Staff => "staff",
        PersonKind::Parent => "parent",
    }
}

fn kind_of(word: &str) -> Option<PersonKind> {
    [PersonKind::Student, PersonKind::Staff, PersonKind::Parent]
        .into_iter()
        .find(|kind| kind_word(*kind) == word)
}

/// The person of a page, and the id by which events name them.
struct AtDesk {
    person: KnownPerson,
    id: Option<String>,
}

async fn at_desk(
    markback: &Markback,
    school: &School,
    kind: &str,
    key: &str,
) -> Result<AtDesk, PageError> {
    let nobody = || PageError::new(ErrorKind::NotFound);
    let kind = kind_of(kind).ok_or_else(nobody)?;
    let names = Roll::of(markback, school).await?;
    let key = PersonKey::new(key);
    let person = names.people().and_then(|people| people.get(kind, &key));
    let person = person.cloned().ok_or_else(nobody)?;
    let id = markback.id_for_events(&school.id, kind, &key).await?;
    Ok(AtDesk { person, id })
}

/// What the form holds, as it was typed.
#[derive(Clone, Debug, Default)]
struct Typed {
    id: String,
    out: bool,
    date: String,
    time: String,
    answers: Vec<(String, String)>,
}

impl Typed {
    /// Reads a form, whose fields for answers have the names of the questions after [`ANSWER`].
    fn read(pairs: Vec<(String, String)>) -> Self {
        let mut typed = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "id" => typed.id = value,
                "kind" => typed.out = value == "out",
                "date" => typed.date = value,
                "time" => typed.time = value,
                _ => {
                    if let Some(field) = name.strip_prefix(ANSWER) {
                        typed.answers.push((field.to_owned(), value));
                    }
                }
            }
        }
        typed
    }

    /// The event; an error is for the field that is named.
    fn entry(
        &self,
        person: &KnownPerson,
        id: &str,
        timezone: Tz,
    ) -> Result<Entry, (&'static str, String)> {
        let date: NaiveDate = self
            .date
            .trim()
            .parse()
            .map_err(|_| ("date", "Give the day, such as 2026-11-23.".to_owned()))?;
        let time = NaiveTime::parse_from_str(self.time.trim(), "%H:%M")
            .or_else(|_| NaiveTime::parse_from_str(self.time.trim(), "%H:%M:%S"))
            .map_err(|_| ("time", "Give the time, such as 09:05.".to_owned()))?;
        let at = timezone
            .from_local_datetime(&date.and_time(time))
            .earliest()
            .ok_or(("time", "The clocks skip this time.".to_owned()))?;
        Ok(Entry {
            id: self.id.clone(),
            person: id.to_owned(),
            kind_of_person: Some(person.kind),
            out: self.out,
            at: at.to_rfc3339(),
            answers: self.answers.clone(),
        })
    }
}

#[derive(Template)]
#[template(path = "desk_person.html")]
struct PersonPage {
    frame: Frame,
    name: String,
    form: String,
    group: Option<String>,
    here: String,
    out: bool,
    id: String,
    date: String,
    time: String,
    fields: Vec<FieldView>,
    problems: Vec<(String, String)>,
    expected: Option<Expected>,
    no_id: bool,
    events: Vec<EventLine>,
}

struct FieldView {
    name: String,
    key: String,
    options: Vec<(String, bool)>,
}

/// What the event would do, in words.
struct Expected {
    /// `in` or `out`.
    heading: String,
    lead: String,
    code: Option<String>,
    tone: &'static str,
    register: String,
    steps: Vec<String>,
    hidden: Vec<(String, String)>,
    button: &'static str,
}

struct EventLine {
    what: &'static str,
    when: String,
    code: Option<String>,
    word: &'static str,
    href: String,
    correct: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Opened {
    kind: String,
}

async fn open(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, kind, key)): Path<(String, String, String)>,
    Query(opened): Query<Opened>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let desk = at_desk(&markback, &at.school, &kind, &key).await?;
    let now = markback.clock().now().with_timezone(&at.school.timezone);
    let typed = Typed {
        id: new_id(),
        out: opened.kind == "out",
        date: now.format("%Y-%m-%d").to_string(),
        time: now.format("%H:%M").to_string(),
        answers: Vec::new(),
    };
    person_page(&markback, &at, &desk, &typed, Vec::new(), None).await
}

/// Shows what the event would do.
async fn look(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, kind, key)): Path<(String, String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let desk = at_desk(&markback, &at.school, &kind, &key).await?;
    let typed = Typed::read(pairs);
    let (problems, expected) = match entry_of(&desk, &typed, &at.school) {
        Err(problem) => (vec![problem], None),
        Ok(entry) => match markback.expect(&at.school.id, entry.to_json()).await {
            Ok(expected) => (Vec::new(), Some(in_words(&expected, &typed))),
            Err(ExpectationError::Problems(problems)) => {
                (problems.into_iter().map(told).collect(), None)
            }
            Err(ExpectationError::Undecided(why)) => (Vec::new(), Some(undecided(&why, &typed))),
            Err(ExpectationError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(PageError::new(ErrorKind::Invalid).detail(error.to_string())),
        },
    };
    person_page(&markback, &at, &desk, &typed, problems, expected).await
}

fn entry_of(desk: &AtDesk, typed: &Typed, school: &School) -> Result<Entry, (String, String)> {
    let Some(id) = &desk.id else {
        let why = "The settings take no id of this person in events.".to_owned();
        return Err((String::new(), why));
    };
    let entry = typed.entry(&desk.person, id, school.timezone);
    entry.map_err(|(field, why)| (field.to_owned(), why))
}

/// A problem with an event as one with the form.
fn told(problem: InputProblem) -> (String, String) {
    let field = problem.key.split_once("].").map_or("", |(_, field)| field);
    let field = match field.strip_prefix("answers.") {
        Some(answer) => format!("{ANSWER}{answer}"),
        None if field == "at" => "time".to_owned(),
        None => field.to_owned(),
    };
    (
        field,
        format!("{}. {}.", upper(&problem.message), upper(&problem.help)),
    )
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

async fn person_page(
    markback: &Markback,
    at: &AtSchool,
    desk: &AtDesk,
    typed: &Typed,
    problems: Vec<(String, String)>,
    expected: Option<Expected>,
) -> Result<Response, PageError> {
    let (school, person) = (&at.school, &desk.person);
    let key = person.key.as_str();
    at.looks_at_person(markback, AuditAction::PersonShown, key, 0)
        .await?;
    let base = base(&school.id);
    let mut events = latest(markback, school, desk).await?;
    let events = events
        .drain(..)
        .map(|record| event_line(&record, school, &base));
    html(&PersonPage {
        frame: Frame::of_school(person.name(), &at.visitor, school, Some(Section::FrontDesk)),
        name: person.name(),
        form: form(person),
        group: person.group.clone(),
        here: desk_of(&base, person),
        out: typed.out,
        id: typed.id.clone(),
        date: typed.date.clone(),
        time: typed.time.clone(),
        fields: fields_of(school, person, typed),
        problems,
        expected,
        no_id: desk.id.is_none(),
        events: events.collect(),
    })
}

/// The questions of the person's group, with the answers that were given.
fn fields_of(school: &School, person: &KnownPerson, typed: &Typed) -> Vec<FieldView> {
    let group = person.group.as_deref().and_then(|name| school.group(name));
    let kind = if typed.out {
        EventKind::SignOut
    } else {
        EventKind::SignIn
    };
    let fields = group
        .map(|group| group.fields.as_slice())
        .unwrap_or_default();
    let fields = fields.iter().filter(|field| field.on == kind);
    fields.map(|field| field_view(field, typed)).collect()
}

fn field_view(field: &Field, typed: &Typed) -> FieldView {
    let answer = typed.answers.iter().find(|(name, _)| *name == field.name);
    let answer = answer.map_or("", |(_, answer)| answer.as_str());
    let options = field.options.iter();
    FieldView {
        name: field.name.clone(),
        key: format!("{ANSWER}{}", field.name),
        options: options
            .map(|option| (option.text.clone(), option.text == answer))
            .collect(),
    }
}

/// The latest events of a person, by whichever of their ids.
async fn latest(
    markback: &Markback,
    school: &School,
    desk: &AtDesk,
) -> Result<Vec<EventRecord>, PageError> {
    let Some(id) = &desk.id else {
        return Ok(Vec::new());
    };
    let filter = EventFilter {
        school: Some(school.id.clone()),
        person: Some(id.clone()),
        limit: EVENTS_SHOWN,
        accept_age: markback.settings().service.accept_age,
        ..EventFilter::default()
    };
    Ok(markback.store().search(&filter).await?)
}

fn event_line(record: &EventRecord, school: &School, base: &str) -> EventLine {
    let at = time_of(record);
    let address = format!("{base}/desk/events/{}", segment(&record.id));
    EventLine {
        what: match record.event["kind"].as_str() {
            Some("sign_out") => "Out",
            _ => "In",
        },
        when: at
            .map(|at| day_and_time(at, school.timezone))
            .unwrap_or_default(),
        code: code_of(record),
        word: word(record.state),
        correct: record
            .correction
            .is_none()
            .then(|| format!("{address}/correct")),
        href: address,
    }
}

fn time_of(record: &EventRecord) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(record.event["at"].as_str()?);
    at.ok().map(|at| at.to_utc())
}

fn code_of(record: &EventRecord) -> Option<String> {
    let decision = record.decision.as_ref()?;
    decision["mark"]["code"].as_str().map(str::to_owned)
}

fn in_words(expected: &Expectation, typed: &Typed) -> Expected {
    let decision = &expected.decision;
    let (lead, code, tone) = match (&decision.outcome, &decision.hold) {
        (DecisionOutcome::Write(planned), hold) => {
            let mark = &planned.mark;
            let session = match mark.session {
                mis_core::Session::Am => "the morning",
                mis_core::Session::Pm => "the afternoon",
            };
            let late = match mark.minutes_late {
                Some(minutes) => {
                    let minutes = usize::try_from(minutes).unwrap_or_default();
                    format!(", {} late", counted(minutes, "minute", "minutes"))
                }
                None => String::new(),
            };
            let comment = if mark.comment.is_some() {
                ", with a comment"
            } else {
                ""
            };
            let day = mark.date.format("%A %-d %B");
            match hold {
                Some(hold) => (
                    format!(
                        "A mark for {session} of {day}{late}{comment} is made, and waits until somebody releases it: {}.",
                        hold.why
                    ),
                    Some(mark.code.to_string()),
                    "held",
                ),
                None => (
                    format!("This mark is written for {session} of {day}{late}{comment}."),
                    Some(mark.code.to_string()),
                    "way",
                ),
            }
        }
        (DecisionOutcome::Skip { reason, detail }, _) => {
            (not_written(*reason, detail), None, "nothing")
        }
        (DecisionOutcome::Wait { why }, _) => {
            (format!("Nothing is written yet: {why}."), None, "way")
        }
        (DecisionOutcome::Fail { why }, _) => (
            format!("Nothing can be written until somebody puts this right: {why}."),
            None,
            "needs",
        ),
    };
    let register = match (&decision.found, expected.register()) {
        (None, _) => "The register was not looked at.".to_owned(),
        (Some(_), None) => "The register has no mark yet.".to_owned(),
        (Some(_), Some(HeldCode::Known(code))) => format!("The register has {code} now."),
        (Some(_), Some(HeldCode::Unreadable(_))) => {
            "The register has a code that cannot be read.".to_owned()
        }
    };
    Expected {
        heading: heading(typed),
        lead,
        code,
        tone,
        register,
        steps: decision.steps.clone(),
        hidden: hidden(typed),
        button: button(typed),
    }
}

fn heading(typed: &Typed) -> String {
    let what = if typed.out {
        "Signing out"
    } else {
        "Signing in"
    };
    let day = match typed.date.trim().parse::<NaiveDate>() {
        Ok(day) => day.format("%A %-d %B").to_string(),
        Err(_) => typed.date.clone(),
    };
    format!("{what} at {} on {day}", typed.time)
}

fn button(typed: &Typed) -> &'static str {
    if typed.out { "Sign out" } else { "Sign in" }
}

fn undecided(why: &str, typed: &Typed) -> Expected {
    Expected {
        heading: heading(typed),
        lead: format!(
            "It cannot be told now what mark this makes: {why}. You can still sign the person {}; the mark follows by the same \
             rules as soon as it can be decided.",
            if typed.out { "out" } else { "in" }
        ),
        code: None,
        tone: "way",
        register: String::new(),
        steps: Vec::new(),
        hidden: hidden(typed),
        button: button(typed),
    }
}

fn hidden(typed: &Typed) -> Vec<(String, String)> {
    let own = [
        ("id", typed.id.as_str()),
        ("kind", if typed.out { "out" } else { "in" }),
        ("date", &typed.date),
        ("time", &typed.time),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let answers = typed.answers.iter();
    let answers = answers.map(|(field, answer)| (format!("{ANSWER}{field}"), answer.clone()));
    own.into_iter().chain(answers).collect()
}

fn not_written(reason: SkipReason, detail: &str) -> String {
    let why = match reason {
        SkipReason::Protected => {
            "the register has a code that somebody entered and that is not overwritten"
        }
        SkipReason::AlreadyRecorded => "the register has this mark already",
        SkipReason::AlreadyArrived => "an earlier arrival counts",
        SkipReason::LaterEventStands => "a later sign-in or sign-out counts",
        SkipReason::PresentWritebackOff => {
            "the person is in time, and the rules write no marks for that"
        }
        SkipReason::LeaverWritebackOff => "the rules write no mark for this sign-out",
        SkipReason::NotWrittenBack => "the rules write no marks for this group",
        SkipReason::NotASchoolDay | SkipReason::SchoolClosed => "the school is closed on that day",
        SkipReason::OutsideSchoolDay => "the school day is over at that time",
        SkipReason::DoubleTap => "it comes too soon after the one before",
        _ => detail,
    };
    format!("No mark is written: {why}. The sign-in or sign-out itself is kept.")
}

/// Makes the event. The same form again makes no other.
async fn sign(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, kind, key)): Path<(String, String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let desk = at_desk(&markback, &at.school, &kind, &key).await?;
    let typed = Typed::read(pairs);
    let entry = match entry_of(&desk, &typed, &at.school) {
        Ok(entry) => entry,
        Err(problem) => {
            return person_page(&markback, &at, &desk, &typed, vec![problem], None).await;
        }
    };
    let actor = at.visitor.actor(None);
    let taken = markback.intake_by(&actor, &at.school.id, vec![entry.to_json()]);
    match taken.await {
        Ok(_) => {}
        Err(IntakeError::Problems(problems)) => {
            let problems = problems.into_iter().map(told).collect();
            return person_page(&markback, &at, &desk, &typed, problems, None).await;
        }
        Err(IntakeError::Conflict(_)) => {
            return Err(PageError::new(ErrorKind::Conflict)
                .detail("This form was sent before with other values. Open the person again."));
        }
        Err(error) => {
            return Err(PageError::new(ErrorKind::Unavailable).detail(error.to_string()));
        }
    }
    let to = format!("{}/desk/events/{}", base(&at.school.id), segment(&entry.id));
    Ok(Redirect::to(&to).into_response())
}

#[derive(Template)]
#[template(path = "desk_made.html")]
struct MadePage {
    frame: Frame,
    name: String,
    line: EventLine,
    about: Option<String>,
    waits: bool,
    /// The event whose place it takes.
    corrects: Option<String>,
    /// Whether somebody has withdrawn or replaced it.
    is_taken_back: bool,
    desk: String,
    here: String,
}

async fn made(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let school = &at.school;
    let record = markback.event(&school.id, &id).await?;
    let record = record.ok_or_else(|| PageError::new(ErrorKind::NotFound))?;
    let look = at.visitor.entry(AuditAction::EventShown).school(&school.id);
    markback.audit_log().look(look.subject(&id)).await?;
    let names = Roll::of(&markback, school).await?;
    let base = base(&school.id);
    let about = record
        .waiting
        .clone()
        .or_else(|| record.outcome.clone())
        .or_else(|| {
            let decision = record.decision.as_ref()?;
            decision["detail"].as_str().map(str::to_owned)
        });
    html(&MadePage {
        frame: Frame::of_school("Front desk", &at.visitor, school, Some(Section::FrontDesk)),
        name: names.name(&record.person, kind_of_person(&record)),
        line: event_line(&record, school, &base),
        about,
        waits: !record.state.is_final(),
        corrects: record
            .corrects
            .as_deref()
            .map(|wrong| format!("{base}/desk/events/{}", segment(wrong))),
        is_taken_back: record.correction.is_some(),
        here: format!("{base}/desk/events/{}", segment(&id)),
        desk: format!("{base}/desk"),
    })
}

fn kind_of_person(record: &EventRecord) -> Option<PersonKind> {
    PersonKind::deserialize(&record.event["kind_of_person"]).ok()
}

#[derive(Template)]
#[template(path = "desk_correct.html")]
struct CorrectPage {
    frame: Frame,
    name: String,
    line: EventLine,
    effect: &'static str,
    problem: Option<&'static str>,
    reason: String,
    /// Where another event of the same person takes its place; `None` if nobody is known by the event's id.
    same: Option<String>,
    other: String,
    back: String,
}

async fn ask_to_correct(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    correct_page(&markback, &at, &id, String::new(), None).await
}

async fn correct_page(
    markback: &Markback,
    at: &AtSchool,
    id: &str,
    reason: String,
    problem: Option<&'static str>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let found = effect(markback.store(), &school.id, id).await;
    let (record, effect) = found.map_err(not_corrected)?;
    let look = at.visitor.entry(AuditAction::EventShown).school(&school.id);
    markback.audit_log().look(look.subject(id)).await?;
    let names = Roll::of(markback, school).await?;
    let base = base(&school.id);
    html(&CorrectPage {
        frame: Frame::of_school(
            "Was this wrong?",
            &at.visitor,
            school,
            Some(Section::FrontDesk),
        ),
        name: names.name(&record.person, kind_of_person(&record)),
        line: event_line(&record, school, &base),
        effect: effect_words(effect),
        problem,
        reason,
        same: names
            .person(&record.person, kind_of_person(&record))
            .map(|person| replace::address(&base, id, person)),
        other: format!("{base}/desk/events/{}/replace", segment(id)),
        back: format!("{base}/desk/events/{}", segment(id)),
    })
}

/// What becomes of a wrong event's mark.
fn effect_words(effect: Effect) -> &'static str {
    match effect {
        Effect::NothingWritten => {
            "No mark of it is in the register, so it is just taken back. Other sign-ins and sign-outs of the session count as if \
             it had never been."
        }
        Effect::RepairedLater => {
            "Its mark is on its way and cannot be recalled. Once it has arrived, the mark that was there before is written again, \
             unless somebody has entered something else by then."
        }
        _ => {
            "Its mark is in the register. The mark that was there before is written again, unless somebody has entered something \
             else since. Where there was none before, you are told what to do in the MIS."
        }
    }
}

async fn withdraw(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, id)): Path<(String, String)>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let reason = field(&fields, "reason").to_owned();
    let correction = Correction {
        reason: reason.clone(),
        replacement: None,
    };
    let (store, settings) = (markback.store(), markback.settings());
    let (people, actor) = (markback.people(), at.visitor.actor(None));
    let school = &at.school.id;
    let done = correct(store, &settings, people, school, &id, &correction, &actor).await;
    match done {
        Ok(_) => {}
        Err(OperatorError::NoReason) => {
            let problem = "Say why it was wrong; the history keeps it.";
            return correct_page(&markback, &at, &id, reason, Some(problem)).await;
        }
        Err(error) => return Err(not_corrected(error)),
    }
    let to = format!("{}/desk/events/{}", base(school), segment(&id));
    Ok(Redirect::to(&to).into_response())
}

fn not_corrected(error: OperatorError) -> PageError {
    match error {
        OperatorError::UnknownEvent | OperatorError::UnknownSchool => {
            PageError::new(ErrorKind::NotFound)
        }
        OperatorError::Store(error) => error.into(),
        OperatorError::Corrected => {
            PageError::new(ErrorKind::Conflict).detail("It was taken back before.")
        }
        error => PageError::new(ErrorKind::Conflict).detail(error.to_string()),
    }
}
