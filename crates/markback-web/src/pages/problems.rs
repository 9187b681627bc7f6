//! Problems: what needs a person, by cause, and acting on all of it after a look at what that does.

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use markback::{
    audit_log::AuditAction,
    problems::{
        Action, ActionError, Cause, DeadEndpoint, Deed, Named, ProblemEvent, UnfitSettings, act,
        find,
    },
    service::Markback,
};
use serde::Deserialize;

use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, Section, base, html, segment},
    view::{
        said::{counted, field, form, when},
        who::Roll,
    },
    visitor::{AtSchool, Role},
};

/// So many people of a cause are named at once; the others are behind a fold.
const NAMED: usize = 8;
/// So many people of a cause are named at all.
const NAMED_MAX: usize = 200;
/// So many events that were left alone are named after an action.
const LEFT_NAMED: usize = 20;
/// The longest reason in characters.
const NOTE_MAX: usize = 500;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/schools/{school}/problems", get(list))
        .route(
            "/schools/{school}/problems/{cause}/{action}",
            get(preview).post(carry_out),
        )
}

/// What was done just before, from the address that an action leads to.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Before {
    done: Option<usize>,
    action: String,
    left: String,
}

#[derive(Template)]
#[template(path = "problems.html")]
struct Page {
    frame: Frame,
    done: Option<String>,
    left: Vec<String>,
    causes: Vec<Card>,
    endpoints: Vec<DeadEndpoint>,
    scheduled: Option<UnfitSettings>,
    rules: String,
    more: bool,
    may_act: bool,
}

/// A cause.
struct Card {
    count: String,
    title: String,
    meaning: String,
    cure: String,
    since: Option<String>,
    first: Vec<Line>,
    others: Vec<Line>,
    unnamed: usize,
    actions: Vec<Button>,
}

/// A person with what happened.
struct Line {
    name: String,
    form: String,
    when: String,
    what: &'static str,
    code: Option<String>,
    href: String,
}

/// A link to the preview of an action.
struct Button {
    label: String,
    href: String,
    is_main: bool,
}

async fn list(
    State(markback): State<Markback>,
    at: AtSchool,
    Query(before): Query<Before>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let (store, settings) = (markback.store(), markback.settings());
    let found = find(store, &settings, &school.id, None, None).await?;
    at.looks_at(&markback, AuditAction::EventsListed, found.events())
        .await?;
    let names = Roll::of(&markback, school).await?;
    let base = base(&school.id);
    let mut left = Vec::new();
    for id in before
        .left
        .split(' ')
        .filter(|id| !id.is_empty())
        .take(LEFT_NAMED)
    {
        if let Some(event) = store.event(&school.id, id).await? {
            left.push(names.name(&event.person, None));
        }
    }
    let done = before.done.and_then(|count| {
        let action: Action = before.action.parse().ok()?;
        Some(done_words(action, count))
    });
    let may_act = at.visitor.may(Role::Tend);
    let place = Where {
        names: &names,
        timezone: school.timezone,
        now: markback.clock().now(),
        base: &base,
    };
    let causes = found.causes.iter();
    html(&Page {
        frame: Frame::of_school("Problems", &at.visitor, school, Some(Section::Problems)),
        done,
        left,
        causes: causes.map(|cause| card(cause, &place)).collect(),
        rules: format!("{base}/rules"),
        endpoints: found.endpoints,
        scheduled: found.scheduled,
        more: found.more,
        may_act,
    })
}

fn card(cause: &Cause, at: &Where<'_>) -> Card {
    let mut lines: Vec<_> = cause
        .events
        .iter()
        .take(NAMED_MAX)
        .map(|event| line(event, at))
        .collect();
    let others = lines.split_off(lines.len().min(NAMED));
    let buttons = cause.actions.iter().enumerate();
    Card {
        count: if cause.count == cause.people {
            counted(cause.count, "person", "people")
        } else {
            format!(
                "{} of {}",
                counted(cause.count, "sign-in or sign-out", "sign-ins and sign-outs"),
                counted(cause.people, "person", "people")
            )
        },
        title: cause.title.clone(),
        meaning: cause.meaning.clone(),
        cure: cause.cure.clone(),
        since: cause.since.map(|since| at.when(since)),
        unnamed: cause.events.len() - lines.len() - others.len(),
        first: lines,
        others,
        actions: buttons
            .map(|(place, action)| Button {
                label: offer(*action, cause.count),
                href: format!(
                    "{}/problems/{}/{}",
                    at.base,
                    segment(&cause.id),
                    action.as_str()
                ),
                is_main: place == 0,
            })
            .collect(),
    }
}

/// What lines about events need.
struct Where<'a> {
    names: &'a Roll,
    timezone: Tz,
    now: DateTime<Utc>,
    base: &'a str,
}

impl Where<'_> {
    fn when(&self, at: DateTime<Utc>) -> String {
        when(at, self.timezone, self.now)
    }
}

fn line(event: &ProblemEvent, at: &Where<'_>) -> Line {
    let (names, base) = (at.names, at.base);
    let person = names.person(&event.person, event.kind_of_person);
    let day = event
        .at
        .map(|time| time.with_timezone(&at.timezone).date_naive());
    let key = person.map_or(event.person.as_str(), |person| person.key.as_str());
    let date = day.map(|day| format!("?date={day}")).unwrap_or_default();
    Line {
        name: names.name(&event.person, event.kind_of_person),
        form: person.map(form).unwrap_or_default(),
        when: event.at.map(|time| at.when(time)).unwrap_or_default(),
        what: what(event),
        code: event.code.clone(),
        href: format!("{base}/people/{}{date}", segment(key)),
    }
}

fn what(event: &ProblemEvent) -> &'static str {
    match event.kind {
        Some(mis_core::EventKind::SignIn) => "in",
        Some(mis_core::EventKind::SignOut) => "out",
        None => "",
    }
}

/// The words of the button that leads to a preview.
fn offer(action: Action, count: usize) -> String {
    let all = if count == 1 { "it" } else { "all" };
    match action {
        Action::Retry => format!("Write {all} again …"),
        Action::Discard => format!("Set {all} aside …"),
        Action::Release => format!("Release {all} …"),
        Action::Drop => format!("Drop {all} …"),
    }
}

fn done_words(action: Action, count: usize) -> String {
    let marks = counted(count, "mark", "marks");
    let are = if count == 1 { "is" } else { "are" };
    match action {
        Action::Retry => format!("{marks} {are} on the way again."),
        Action::Discard => format!("{} set aside.", counted(count, "event is", "events are")),
        Action::Release => format!("{marks} {are} released and on the way."),
        Action::Drop => format!("{marks} {are} dropped."),
    }
}

#[derive(Template)]
#[template(path = "problem_preview.html")]
struct PreviewPage {
    frame: Frame,
    cause: String,
    summary: Vec<String>,
    events: Vec<PreviewLine>,
    named: String,
    button: String,
    may_act: bool,
    back: String,
}

struct PreviewLine {
    line: Line,
    words: String,
}

async fn preview(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, cause, action)): Path<(String, String, String)>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let action = action_of(&action)?;
    let preview = markback
        .preview_problem(&school.id, &cause, action)
        .await
        .map_err(refused)?;
    let amount = preview.events.len();
    at.looks_at(&markback, AuditAction::EventsListed, amount)
        .await?;
    let (store, settings) = (markback.store(), markback.settings());
    let found = find(store, &settings, &school.id, None, None).await?;
    let title = found.cause(&cause).map(|cause| cause.title.clone());
    let names = Roll::of(&markback, school).await?;
    let base = base(&school.id);
    let place = Where {
        names: &names,
        timezone: school.timezone,
        now: markback.clock().now(),
        base: &base,
    };
    let count = preview.events.len();
    let named = serde_json::to_string(&preview.named()).unwrap_or_default();
    html(&PreviewPage {
        frame: Frame::of_school(
            heading(action),
            &at.visitor,
            school,
            Some(Section::Problems),
        ),
        cause: title.unwrap_or_default(),
        summary: preview.summary,
        events: preview
            .events
            .iter()
            .map(|one| PreviewLine {
                line: line(&one.event, &place),
                words: one.words.clone(),
            })
            .collect(),
        named,
        button: confirm(action, count),
        may_act: at.visitor.may(Role::Tend),
        back: format!("{base}/problems"),
    })
}

fn heading(action: Action) -> &'static str {
    match action {
        Action::Retry => "Write the marks again?",
        Action::Discard => "Set them aside?",
        Action::Release => "Release the marks?",
        Action::Drop => "Drop the marks?",
    }
}

fn confirm(action: Action, count: usize) -> String {
    let marks = counted(count, "mark", "marks");
    match action {
        Action::Retry => format!("Write {marks} again"),
        Action::Discard => format!("Set {count} aside"),
        Action::Release => format!("Release {marks}"),
        Action::Drop => format!("Drop {marks}"),
    }
}

async fn carry_out(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, _, action)): Path<(String, String, String)>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let action = action_of(&action)?;
    let named: Vec<Named> = serde_json::from_str(field(&fields, "events")).map_err(|_| {
        PageError::new(ErrorKind::Invalid)
            .detail("Open the problem again and look at what it does.")
    })?;
    let note = field(&fields, "note").trim();
    let note = (!note.is_empty()).then(|| note.chars().take(NOTE_MAX).collect());
    let actor = at.visitor.actor(note);
    let (store, settings) = (markback.store(), markback.settings());
    let done = act(store, &settings, &at.school.id, action, &named, &actor)
        .await
        .map_err(refused)?;
    let left: Vec<_> = done
        .events
        .iter()
        .filter(|one| one.result != Deed::Done)
        .take(LEFT_NAMED)
        .map(|one| segment(&one.id))
        .collect();
    let to = format!(
        "{}/problems?done={}&action={}&left={}",
        base(&at.school.id),
        done.done,
        action.as_str(),
        left.join("+")
    );
    Ok(Redirect::to(&to).into_response())
}

fn action_of(word: &str) -> Result<Action, PageError> {
    word.parse()
        .map_err(|_| PageError::new(ErrorKind::NotFound))
}

fn refused(error: ActionError) -> PageError {
    match error {
        ActionError::Store(error) => error.into(),
        ActionError::UnknownSchool => PageError::new(ErrorKind::NotFound),
        ActionError::UnknownCause | ActionError::DoesNotFit => PageError::new(ErrorKind::Conflict)
            .detail(
                "This problem is gone: somebody has dealt with it, or it has passed by itself.",
            ),
        error => PageError::new(ErrorKind::Invalid).detail(error.to_string()),
    }
}
