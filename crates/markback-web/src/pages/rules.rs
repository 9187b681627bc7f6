//! Rules: a group's day drawn on a timeline, edited as a draft, tried on last week, activated and undone.

mod template;

use std::collections::HashMap;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use chrono::{Days, NaiveDate, NaiveTime, TimeZone as _};
use markback::{
    audit_log::AuditAction,
    calendar::ReadClosures,
    configuration::{ChangeError, Configuration, Scheduled, diff},
    explain::{Given, explain},
    service::Markback,
    settings::{Group, LoadError, Owner, Problem, School, school_from_text},
    store::{SettingsKey, StoredVersion},
    try_out::{Report, TrialError},
};
use mis_core::EventKind;
use serde::Deserialize;
use writeback::{Event, check_answers, settings::GroupKind};

use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, Section, base, html, segment},
    rules::{
        FORM, FormField, Kind, fields,
        text::{self, EditError},
        timeline::{DayTimes, Timeline},
    },
    view::{
        said::{counted, day_and_time, field},
        who::Roll,
    },
    visitor::{AtSchool, Role, SchoolsSeen},
};

/// The school days of a try.
const DAYS: u32 = 5;
/// So many differences are shown.
const DIFFERENCES: usize = 100;
/// What precedes the name of a question in a form.
const ANSWER: &str = "answer:";
/// So many versions are shown.
const VERSIONS: usize = 30;
/// The longest reason in characters.
const NOTE_MAX: usize = 500;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/schools/{school}/rules", get(overview))
        .route("/schools/{school}/rules/history", get(history))
        .route("/schools/{school}/rules/try", get(try_draft))
        .route(
            "/schools/{school}/rules/text",
            get(whole_text).post(save_text),
        )
        .route("/schools/{school}/rules/activate", post(activate))
        .route("/schools/{school}/rules/cancel", post(cancel))
        .route("/schools/{school}/rules/undo", post(undo))
        .route("/schools/{school}/rules/groups/{group}/one", get(try_one))
        .route(
            "/schools/{school}/rules/groups/{group}",
            get(group).post(save),
        )
        .merge(template::routes())
}

/// The settings of a school as a page needs them.
struct Seen {
    owner: Owner,
    /// The number of the version that rules, if the database keeps it.
    active: Option<u32>,
    newest: Option<StoredVersion>,
    /// Whether the newest does not rule.
    is_draft: bool,
    /// Whether the groups are in the school's own text.
    own_groups: bool,
}

async fn seen(markback: &Markback, school: &School) -> Result<Seen, PageError> {
    let key = SettingsKey::school(&school.id);
    let owner = school.version.owner();
    if owner == Owner::File {
        return Ok(Seen {
            owner,
            active: None,
            newest: None,
            is_draft: false,
            own_groups: school.template.is_none(),
        });
    }
    let store = markback.store();
    let newest = store.settings_versions(&key).await?.into_iter().next();
    let activations = store.settings_activations(&key).await?;
    let active = activations.first().and_then(|last| last.number);
    let own_groups = newest
        .as_ref()
        .is_some_and(|newest| text::has_groups(&newest.body));
    let is_draft = newest
        .as_ref()
        .is_some_and(|newest| active.is_none_or(|active| newest.number > active));
    Ok(Seen {
        owner,
        active,
        newest,
        is_draft,
        own_groups,
    })
}

impl Seen {
    /// The page of the template that the groups come from.
    fn template(&self, school: &School) -> Option<String> {
        let of_template = !self.own_groups && school.template.is_some();
        of_template.then(|| format!("{}/rules/template", base(&school.id)))
    }

    fn draft(&self) -> Option<&StoredVersion> {
        self.newest.as_ref().filter(|_| self.is_draft)
    }

    /// Why the form cannot be saved; `None` if it can.
    fn fixed(&self, school: &School) -> Option<String> {
        if self.owner == Owner::File {
            return Some(
                "These rules are kept in the settings file. They are shown here and cannot be saved here: whoever looks after the \
                 file changes them there, or moves the school into the database with “markback schools adopt”."
                    .to_owned(),
            );
        }
        if !self.own_groups {
            let template = school.template.as_deref().unwrap_or_default();
            return Some(format!(
                "These rules are those of the template “{template}”, which other schools may share. They are shown here and \
                 changed in the template."
            ));
        }
        None
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    said: String,
}

impl Told {
    fn words(&self) -> Option<&'static str> {
        match self.said.as_str() {
            "saved" => Some(
                "Saved as a draft. It does not count yet: try it on last week, then activate it.",
            ),
            "active" => Some("Activated. Every sign-in and sign-out from now on is decided by it."),
            "scheduled" => Some("Kept for that day. Until then, the rules that count now go on."),
            "cancelled" => {
                Some("Cancelled. It is a draft again, and the rules that count now go on.")
            }
            "undone" => Some("The earlier rules count again."),
            _ => None,
        }
    }
}

#[derive(Template)]
#[template(path = "rules.html")]
struct OverviewPage {
    frame: Frame,
    told: Option<&'static str>,
    fixed: Option<String>,
    template: Option<String>,
    version: String,
    scheduled: Option<ScheduledView>,
    draft: Option<DraftView>,
    groups: Vec<GroupLink>,
    base: String,
    may_set: bool,
    is_stored: bool,
}

struct DraftView {
    number: u32,
    by: String,
    problems: Vec<String>,
    hints: Vec<String>,
}

/// A version that is to count from a day on.
struct ScheduledView {
    number: u32,
    day: String,
    by: String,
    note: Option<String>,
    problems: Vec<String>,
    not_begun: Option<String>,
}

impl ScheduledView {
    fn of(scheduled: Scheduled, school: &School) -> Self {
        let by = scheduled.by.unwrap_or_else(|| "somebody".to_owned());
        Self {
            number: scheduled.number,
            day: scheduled.from.format("%A %-d %B %Y").to_string(),
            by: match scheduled.at {
                Some(at) => format!("{by}, {}", day_and_time(at, school.timezone)),
                None => by,
            },
            note: scheduled.note,
            problems: scheduled.problems.iter().map(in_words).collect(),
            not_begun: scheduled.not_begun,
        }
    }
}

struct GroupLink {
    name: String,
    kind: String,
    href: String,
    writes: bool,
    timeline: Option<Timeline>,
}

async fn overview(
    State(markback): State<Markback>,
    at: AtSchool,
    Query(told): Query<Told>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let seen = seen(&markback, school).await?;
    let base = format!("{}/rules", base(&school.id));
    let configuration = markback.configuration().await;
    let scheduled = configuration
        .scheduled(&SettingsKey::school(&school.id))
        .await?;
    let is_scheduled = |number| scheduled.as_ref().is_some_and(|one| one.number == number);
    let draft = draft_view(&markback, school, &seen).filter(|draft| !is_scheduled(draft.number));
    let groups = school.groups.iter().map(|group| {
        let writeback = group.writeback.as_ref().map(serde_json::to_value);
        let writeback = writeback.and_then(Result::ok);
        GroupLink {
            name: group.name.clone(),
            kind: group.kind.to_string(),
            href: format!("{base}/groups/{}", segment(&group.name)),
            writes: group.rules.is_some(),
            timeline: writeback.and_then(|writeback| drawn(&writeback)),
        }
    });
    html(&OverviewPage {
        told: told.words(),
        fixed: seen.fixed(school),
        template: seen.template(school),
        version: version_words(&seen, school),
        draft,
        scheduled: scheduled.map(|scheduled| ScheduledView::of(scheduled, school)),
        groups: groups.collect(),
        may_set: at.visitor.may(Role::Set),
        is_stored: seen.owner == Owner::Store,
        base,
        frame: Frame::of_school("Rules", &at.visitor, school, Some(Section::Rules)),
    })
}

fn version_words(seen: &Seen, school: &School) -> String {
    match (seen.owner, seen.active) {
        (Owner::Store, Some(number)) => format!("Version {number} counts."),
        (Owner::Store, None) => "No version counts yet.".to_owned(),
        _ => format!("The settings file counts ({}).", school.version),
    }
}

fn draft_view(markback: &Markback, school: &School, seen: &Seen) -> Option<DraftView> {
    let draft = seen.draft()?;
    let settings = markback.settings();
    let checked = school_from_text(&settings, &school.id, "draft", &draft.body);
    let (problems, hints) = match checked {
        Ok((_, hints)) => (Vec::new(), hints),
        Err(LoadError::Problems { problems, hints }) => (problems, hints),
        Err(_) => (Vec::new(), Vec::new()),
    };
    Some(DraftView {
        number: draft.number,
        by: written_by(draft, school),
        problems: problems.iter().map(in_words).collect(),
        hints: hints.iter().map(in_words).collect(),
    })
}

fn written_by(version: &StoredVersion, school: &School) -> String {
    let by = version.by.as_deref().unwrap_or("somebody");
    match version.at {
        Some(at) => format!("{by}, {}", day_and_time(at, school.timezone)),
        None => by.to_owned(),
    }
}

fn in_words(problem: &Problem) -> String {
    let place = match (problem.key.as_str(), &problem.value) {
        ("", _) => String::new(),
        (key, Some(value)) => format!("{key} = {value}: "),
        (key, None) => format!("{key}: "),
    };
    format!("{place}{}; {}", problem.message, problem.help)
}

fn drawn(writeback: &serde_json::Value) -> Option<Timeline> {
    let shown = |key: &str| {
        let field = fields().find(|field| field.key == key);
        field.map_or_else(String::new, |field| text::shown(writeback, field))
    };
    Timeline::of(&DayTimes::of(shown))
}

#[derive(Template)]
#[template(path = "rules_group.html")]
struct GroupPage {
    frame: Frame,
    told: Option<&'static str>,
    fixed: Option<String>,
    template: Option<String>,
    of_draft: Option<u32>,
    by: String,
    base_number: u32,
    timeline: Option<Timeline>,
    parts: Vec<PartView>,
    problems: Vec<String>,
    hints: Vec<String>,
    conflict: Option<ConflictView>,
    back: String,
    here: String,
    may_set: bool,
    writes: bool,
}

struct PartView {
    title: &'static str,
    fields: Vec<FieldView>,
}

struct FieldView {
    key: &'static str,
    id: String,
    label: &'static str,
    help: &'static str,
    value: String,
    is_flag: bool,
    is_time: bool,
    before: Option<String>,
    problems: Vec<String>,
    hints: Vec<String>,
}

struct ConflictView {
    by: String,
    number: u32,
    difference: String,
}

/// What the form shows besides its values.
#[derive(Default)]
struct Around {
    told: Option<&'static str>,
    problems: Vec<Problem>,
    hints: Vec<Problem>,
    conflict: Option<ConflictView>,
    base: Option<u32>,
}

async fn group(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, group)): Path<(String, String)>,
    Query(told): Query<Told>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let seen = seen(&markback, school).await?;
    let active = active_values(school, &group)?;
    let (values, around) = match seen.draft() {
        Some(draft) if seen.own_groups => {
            let settings = markback.settings();
            let (problems, hints) =
                match school_from_text(&settings, &school.id, "draft", &draft.body) {
                    Ok((_, hints)) => (Vec::new(), hints),
                    Err(LoadError::Problems { problems, hints }) => (problems, hints),
                    Err(error) => {
                        return Err(
                            PageError::new(ErrorKind::Unavailable).detail(error.to_string())
                        );
                    }
                };
            let around = Around {
                told: told.words(),
                problems,
                hints,
                ..Around::default()
            };
            let values = text::writeback(&draft.body, &group);
            (values.unwrap_or_else(|| active.clone()), around)
        }
        _ => {
            let around = Around {
                told: told.words(),
                ..Around::default()
            };
            (active.clone(), around)
        }
    };
    let shown = fields().map(|field| (field.key, text::shown(&values, field)));
    group_page(&at, &seen, &group, &shown.collect(), &active, around)
}

fn active_values(school: &School, group: &str) -> Result<serde_json::Value, PageError> {
    let group = school
        .group(group)
        .ok_or_else(|| PageError::new(ErrorKind::NotFound))?;
    let writeback = group.writeback.as_ref().map(serde_json::to_value);
    match writeback {
        Some(Ok(writeback)) => Ok(writeback),
        Some(Err(_)) => Err(PageError::new(ErrorKind::Internal)),
        None => Ok(serde_json::json!({})),
    }
}

fn group_page(
    at: &AtSchool,
    seen: &Seen,
    group: &str,
    values: &HashMap<&'static str, String>,
    active: &serde_json::Value,
    around: Around,
) -> Result<Response, PageError> {
    let school = &at.school;
    let place = seen
        .newest
        .as_ref()
        .and_then(|newest| text::place(&newest.body, group));
    let prefix = place.map(|place| format!("group[{place}].writeback."));
    let shown = |key: &str| values.get(key).cloned().unwrap_or_default();
    let of_field = |list: &[Problem], field: &FormField| -> Vec<String> {
        let Some(prefix) = &prefix else {
            return Vec::new();
        };
        let key = format!("{prefix}{}", field.key);
        list.iter()
            .filter(|problem| problem.key == key || problem.key.starts_with(&format!("{key}[")))
            .map(|problem| format!("{}; {}", problem.message, problem.help))
            .collect()
    };
    let parts: Vec<_> = FORM
        .iter()
        .map(|part| PartView {
            title: part.title,
            fields: part
                .fields
                .iter()
                .map(|field| {
                    let value = shown(field.key);
                    let before = text::shown(active, field);
                    FieldView {
                        key: field.key,
                        id: field.key.replace('.', "-"),
                        label: field.label,
                        help: field.help,
                        is_flag: matches!(field.kind, Kind::Flag(_)),
                        is_time: field.kind == Kind::Time,
                        before: (before != value).then(|| said_of(field, &before)),
                        problems: of_field(&around.problems, field),
                        hints: of_field(&around.hints, field),
                        value,
                    }
                })
                .collect(),
        })
        .collect();
    let others = |list: &[Problem]| -> Vec<String> {
        let of_fields = |problem: &&Problem| {
            !fields().any(|field| !of_field(std::slice::from_ref(*problem), field).is_empty())
        };
        list.iter().filter(of_fields).map(in_words).collect()
    };
    let known = school.group(group);
    let newest = seen.newest.as_ref();
    html(&GroupPage {
        frame: Frame::of_school(
            format!("Rules: {group}"),
            &at.visitor,
            school,
            Some(Section::Rules),
        ),
        told: around.told,
        fixed: seen.fixed(school).or_else(|| {
            let is_students = known.is_some_and(|known| known.kind == GroupKind::Students);
            (!is_students).then(|| "Marks are written for students only.".to_owned())
        }),
        template: seen.template(school),
        of_draft: seen.draft().map(|draft| draft.number),
        by: seen
            .draft()
            .map(|draft| written_by(draft, school))
            .unwrap_or_default(),
        base_number: around
            .base
            .or(newest.map(|newest| newest.number))
            .unwrap_or_default(),
        timeline: Timeline::of(&DayTimes::of(shown)),
        problems: others(&around.problems),
        hints: others(&around.hints),
        parts,
        conflict: around.conflict,
        back: format!("{}/rules", base(&school.id)),
        here: format!("{}/rules/groups/{}", base(&school.id), segment(group)),
        may_set: at.visitor.may(Role::Set),
        writes: known.is_some_and(|known| known.rules.is_some()),
    })
}

fn said_of(field: &FormField, value: &str) -> String {
    match (field.kind, value) {
        (Kind::Flag(_), "true") => "yes".to_owned(),
        (Kind::Flag(_), _) => "no".to_owned(),
        (_, "") => "empty".to_owned(),
        (_, value) => value.to_owned(),
    }
}

/// Saves the form as a draft.
async fn save(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, group)): Path<(String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let school = &at.school;
    let seen = seen(&markback, school).await?;
    let active = active_values(school, &group)?;
    if let Some(why) = seen.fixed(school) {
        return Err(PageError::new(ErrorKind::Conflict).detail(why));
    }
    let typed: HashMap<String, String> = pairs.into_iter().collect();
    let base_number = typed.get("base").and_then(|base| base.parse().ok());
    let values: HashMap<&'static str, String> = fields()
        .map(|field| {
            let typed = typed.get(field.key).map(|typed| typed.trim().to_owned());
            let value = match field.kind {
                // A box that is not ticked is not sent.
                Kind::Flag(_) => typed.is_some().to_string(),
                _ => typed.unwrap_or_default(),
            };
            (field.key, value)
        })
        .collect();
    let Some(newest) = &seen.newest else {
        return Err(PageError::new(ErrorKind::NotFound));
    };
    let edits = fields().filter_map(|field| Some((field, values.get(field.key)?.clone())));
    let text = match text::edited(&newest.body, &group, edits) {
        Ok(text) => text,
        Err(EditError::NoGroup) => return Err(PageError::new(ErrorKind::NotFound)),
        Err(error @ EditError::Unreadable) => {
            return Err(PageError::new(ErrorKind::Conflict).detail(error.to_string()));
        }
    };
    let key = SettingsKey::school(&school.id);
    let actor = at.visitor.actor(Some(format!("rules of {group}")));
    let mut configuration = markback.configuration().await;
    let written = configuration.draft(&key, &text, base_number, &actor).await;
    match written {
        Ok(_) => {
            let to = format!(
                "{}/rules/groups/{}?said=saved",
                base(&school.id),
                segment(&group)
            );
            Ok(Redirect::to(&to).into_response())
        }
        Err(ChangeError::Conflict(conflict)) => {
            let theirs = &conflict.theirs;
            // What they changed, against what this form was made of.
            let before = match base_number {
                Some(number) => markback.store().settings_version(&key, number).await?,
                None => None,
            };
            let before = before.map_or_else(String::new, |before| before.body);
            let around = Around {
                conflict: Some(ConflictView {
                    by: written_by(theirs, school),
                    number: theirs.number,
                    difference: diff(&before, &theirs.body, "before", "theirs"),
                }),
                base: Some(theirs.number),
                ..Around::default()
            };
            group_page(&at, &seen, &group, &values, &active, around)
        }
        Err(error) => Err(refused(error)),
    }
}

/// Why whoever wrote a draft finds no button to activate it.
const SECOND_EYES: &str = "You wrote this draft, so somebody else must look at it and activate it.";

fn refused(error: ChangeError) -> PageError {
    match error {
        ChangeError::Store(error) => error.into(),
        ChangeError::Unknown { .. } | ChangeError::UnknownVersion { .. } => {
            PageError::new(ErrorKind::NotFound)
        }
        ChangeError::Problems { problems, .. } => {
            let words: Vec<_> = problems.iter().take(5).map(in_words).collect();
            PageError::new(ErrorKind::Invalid).detail(words.join(" · "))
        }
        ChangeError::Conflict(conflict) => PageError::new(ErrorKind::Conflict).detail(format!(
            "Version {} was written meanwhile by {}. Look at it before you go on.",
            conflict.theirs.number,
            conflict.theirs.by.as_deref().unwrap_or("somebody")
        )),
        ChangeError::Place { .. } => PageError::new(ErrorKind::Forbidden).detail(error.to_string()),
        ChangeError::OfFile { .. } => PageError::new(ErrorKind::Conflict)
            .detail("The settings file has this school, so nothing is saved here."),
        ChangeError::RulesAlready { .. } => {
            PageError::new(ErrorKind::Conflict).detail("This version counts already.")
        }
        ChangeError::Scheduled { number, from, .. } => PageError::new(ErrorKind::Conflict).detail(format!(
            "Version {number} is to count from {} on. Cancel that under Rules first, then do this again.",
            from.format("%A %-d %B %Y")
        )),
        ChangeError::NotScheduled { .. } => PageError::new(ErrorKind::Conflict)
            .detail("This version does not wait for a day any more. Look at the rules again."),
        ChangeError::PastDay { .. } => PageError::new(ErrorKind::Invalid)
            .detail("Choose a later day than today; or activate it now."),
        ChangeError::FourEyes { .. } => PageError::new(ErrorKind::Forbidden).detail(SECOND_EYES),
        ChangeError::NothingBefore { .. } => {
            PageError::new(ErrorKind::Conflict).detail("There are no earlier rules to go back to.")
        }
        error => PageError::new(ErrorKind::Conflict).detail(error.to_string()),
    }
}

#[derive(Template)]
#[template(path = "rules_text.html")]
struct TextPage {
    frame: Frame,
    text: String,
    base_number: u32,
    fixed: bool,
    problems: Vec<String>,
    conflict: Option<ConflictView>,
    back: String,
    may_set: bool,
}

async fn whole_text(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    let school = &at.school;
    let seen = seen(&markback, school).await?;
    let (text, base_number) = match &seen.newest {
        Some(newest) => (newest.body.clone(), newest.number),
        None => return Err(PageError::new(ErrorKind::NotFound)),
    };
    let problems = draft_view(&markback, school, &seen).map(|draft| draft.problems);
    html(&text_page(
        &at,
        text,
        base_number,
        problems.unwrap_or_default(),
        None,
    ))
}

fn text_page(
    at: &AtSchool,
    text: String,
    base_number: u32,
    problems: Vec<String>,
    conflict: Option<ConflictView>,
) -> TextPage {
    let school = &at.school;
    TextPage {
        frame: Frame::of_school(
            "Settings as a text",
            &at.visitor,
            school,
            Some(Section::Rules),
        ),
        text,
        base_number,
        fixed: school.version.owner() == Owner::File,
        problems,
        conflict,
        back: format!("{}/rules", base(&school.id)),
        may_set: at.visitor.may(Role::Set),
    }
}

async fn save_text(
    State(markback): State<Markback>,
    at: AtSchool,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let school = &at.school;
    // Browsers send line ends as two characters.
    let text = field(&fields, "text").replace("\r\n", "\n");
    let base_number = number(&fields, "base")?;
    let key = SettingsKey::school(&school.id);
    let actor = at.visitor.actor(Some("as a text".to_owned()));
    let mut configuration = markback.configuration().await;
    check_places(&configuration, &at, &key, &text).await?;
    match configuration
        .draft(&key, &text, Some(base_number), &actor)
        .await
    {
        Ok(written) if written.problems.is_empty() => {
            let to = format!("{}/rules?said=saved", base(&school.id));
            Ok(Redirect::to(&to).into_response())
        }
        Ok(_) => {
            let to = format!("{}/rules/text", base(&school.id));
            Ok(Redirect::to(&to).into_response())
        }
        Err(ChangeError::Conflict(conflict)) => {
            let theirs = &conflict.theirs;
            let view = ConflictView {
                by: written_by(theirs, school),
                number: theirs.number,
                difference: diff(&text, &theirs.body, "yours", "theirs"),
            };
            html(&text_page(&at, text, theirs.number, Vec::new(), Some(view)))
        }
        Err(error) => Err(refused(error)),
    }
}

/// Checks that a text names no other places on the server than before, unless an administrator of all schools wrote it.
async fn check_places(
    configuration: &Configuration,
    at: &AtSchool,
    key: &SettingsKey,
    text: &str,
) -> Result<(), PageError> {
    if at.visitor.may(Role::Admin) && at.visitor.schools == SchoolsSeen::All {
        return Ok(());
    }
    configuration.check_places(key, text).await.map_err(refused)
}

async fn activate(
    State(markback): State<Markback>,
    at: AtSchool,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let school = &at.school;
    let key = SettingsKey::school(&school.id);
    let actor = at.visitor.actor(note(field(&fields, "note")));
    let number = Some(number(&fields, "number")?);
    let mut configuration = markback.configuration().await;
    let (done, said) = match field(&fields, "from").trim() {
        "" => (configuration.activate(&key, number, &actor).await, "active"),
        from => {
            let from = from.parse().map_err(|_| {
                PageError::new(ErrorKind::Invalid).detail("Give the day, such as 2027-01-05.")
            })?;
            let done = configuration.activate_from(&key, number, from, &actor);
            (done.await, "scheduled")
        }
    };
    done.map_err(refused)?;
    markback.refresh_settings().await?;
    let to = format!("{}/rules?said={said}", base(&school.id));
    Ok(Redirect::to(&to).into_response())
}

/// Cancels the activation from a day on.
async fn cancel(
    State(markback): State<Markback>,
    at: AtSchool,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let school = &at.school;
    let key = SettingsKey::school(&school.id);
    let actor = at.visitor.actor(None);
    let mut configuration = markback.configuration().await;
    let done = configuration
        .cancel_scheduled(&key, Some(number(&fields, "number")?), &actor)
        .await;
    done.map_err(refused)?;
    let to = format!("{}/rules?said=cancelled", base(&school.id));
    Ok(Redirect::to(&to).into_response())
}

/// The number in a field that the page filled in.
fn number(fields: &[(String, String)], name: &str) -> Result<u32, PageError> {
    field(fields, name).parse().map_err(|_| {
        PageError::new(ErrorKind::Invalid).detail("Open the rules again and use the buttons there.")
    })
}

fn note(typed: &str) -> Option<String> {
    let typed = typed.trim();
    (!typed.is_empty()).then(|| typed.chars().take(NOTE_MAX).collect())
}

async fn undo(
    State(markback): State<Markback>,
    at: AtSchool,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let school = &at.school;
    let seen = seen(&markback, school).await?;
    if seen.active != Some(number(&fields, "active")?) {
        return Err(PageError::new(ErrorKind::Conflict)
            .detail("Other rules count by now. Look at the history again."));
    }
    let key = SettingsKey::school(&school.id);
    let actor = at.visitor.actor(note(field(&fields, "note")));
    let mut configuration = markback.configuration().await;
    let done = configuration
        .undo(&key, Some(number(&fields, "to")?), &actor)
        .await;
    done.map_err(refused)?;
    markback.refresh_settings().await?;
    let to = format!("{}/rules?said=undone", base(&school.id));
    Ok(Redirect::to(&to).into_response())
}

#[derive(Template)]
#[template(path = "rules_history.html")]
struct HistoryPage {
    frame: Frame,
    versions: Vec<VersionView>,
    active: u32,
    back: String,
    may_set: bool,
}

struct VersionView {
    number: u32,
    by: String,
    note: Option<String>,
    state: String,
    difference: String,
    may_return: bool,
}

async fn history(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    let school = &at.school;
    let seen = seen(&markback, school).await?;
    let key = SettingsKey::school(&school.id);
    let store = markback.store();
    let versions = match seen.owner {
        Owner::File => Vec::new(),
        _ => store.settings_versions(&key).await?,
    };
    let activations = store.settings_activations(&key).await?;
    let scheduled = store.settings_schedule(&key).await?;
    let may_set = at.visitor.may(Role::Set);
    let views = versions.iter().enumerate().take(VERSIONS);
    let views = views.map(|(place, version)| {
        let before = versions
            .get(place + 1)
            .map_or("", |before| before.body.as_str());
        let counted: Vec<_> = activations
            .iter()
            .filter(|one| one.number == Some(version.number))
            .filter_map(|one| one.at)
            .map(|at| day_and_time(at, school.timezone))
            .collect();
        let is_active = seen.active == Some(version.number);
        VersionView {
            number: version.number,
            by: written_by(version, school),
            note: version.note.clone(),
            state: match (is_active, counted.first()) {
                (true, Some(since)) => format!("counts since {since}"),
                (false, Some(since)) => format!("counted from {since}"),
                (_, None) => match &scheduled {
                    Some(waits) if waits.number == version.number => {
                        format!("to count from {} on", waits.day.format("%A %-d %B %Y"))
                    }
                    _ => "a draft".to_owned(),
                },
            },
            difference: diff(before, &version.body, "before", "this version"),
            may_return: may_set && !is_active && !counted.is_empty(),
        }
    });
    html(&HistoryPage {
        versions: views.collect(),
        active: seen.active.unwrap_or_default(),
        back: format!("{}/rules", base(&school.id)),
        may_set,
        frame: Frame::of_school(
            "History of the rules",
            &at.visitor,
            school,
            Some(Section::Rules),
        ),
    })
}

#[derive(Template)]
#[template(path = "rules_try.html")]
struct TryPage {
    frame: Frame,
    number: u32,
    by: String,
    headline: String,
    summary: Vec<String>,
    differences: Vec<DifferenceView>,
    more: usize,
    apart: Vec<String>,
    back: String,
    may_set: bool,
    /// Why the visitor may not activate it although their role may.
    why_not: Option<&'static str>,
    problems: Vec<String>,
    /// Whether it may wait for a day.
    may_wait: bool,
    /// The first day from which it may count.
    tomorrow: String,
}

struct DifferenceView {
    name: String,
    href: String,
    when: String,
    change: String,
    active: String,
    active_steps: Vec<String>,
    draft: String,
    draft_steps: Vec<String>,
}

async fn try_draft(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    let school = &at.school;
    let seen = seen(&markback, school).await?;
    let back = format!("{}/rules", base(&school.id));
    // Somebody has activated it meanwhile: the page says what counts.
    let Some(draft) = seen.draft() else {
        return Ok(Redirect::to(&back).into_response());
    };
    let tried = Tried {
        title: "The draft on last week",
        number: draft.number,
        by: written_by(draft, school),
        may_set: at.visitor.may(Role::Set),
        why_not: why_not(&markback.configuration().await, &at, draft),
        may_wait: true,
        back,
    };
    let report = markback.try_settings(&school.id, None, DAYS).await;
    try_page(&markback, &at, tried, report).await
}

/// What is tried, and what may follow.
struct Tried {
    title: &'static str,
    number: u32,
    by: String,
    may_set: bool,
    /// Why the visitor may not activate it although their role may.
    why_not: Option<&'static str>,
    /// Whether it may wait for a day.
    may_wait: bool,
    /// The page that led here; what activates is below it.
    back: String,
}

/// Why the visitor may not activate a draft although their role may.
fn why_not(
    configuration: &Configuration,
    at: &AtSchool,
    draft: &StoredVersion,
) -> Option<&'static str> {
    let may = configuration.may_activate(draft, &at.visitor.actor(None));
    (at.visitor.may(Role::Set) && may.is_err()).then_some(SECOND_EYES)
}

async fn try_page(
    markback: &Markback,
    at: &AtSchool,
    tried: Tried,
    report: Result<Report, TrialError>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let timezone = school.timezone;
    let today = markback.clock().now().with_timezone(&timezone);
    let mut page = TryPage {
        frame: Frame::of_school(tried.title, &at.visitor, school, Some(Section::Rules)),
        number: tried.number,
        by: tried.by,
        headline: "The draft cannot be tried before its problems are put right.".to_owned(),
        summary: Vec::new(),
        differences: Vec::new(),
        more: 0,
        apart: Vec::new(),
        back: tried.back,
        may_set: false,
        why_not: None,
        may_wait: tried.may_wait,
        problems: Vec::new(),
        tomorrow: (today.date_naive() + Days::new(1)).to_string(),
    };
    let report = match report {
        Ok(report) => report,
        Err(TrialError::Draft(ChangeError::Problems { problems, .. })) => {
            page.problems = problems.iter().map(in_words).collect();
            return html(&page);
        }
        Err(TrialError::Draft(error)) => return Err(refused(error)),
        Err(TrialError::Store(error)) => return Err(error.into()),
        Err(TrialError::Busy) => {
            return Err(PageError::new(ErrorKind::Unavailable)
                .detail("Others are trying drafts at the moment. Try again in a few seconds."));
        }
        Err(error) => return Err(PageError::new(ErrorKind::Conflict).detail(error.to_string())),
    };
    let look = at
        .visitor
        .entry(AuditAction::SettingsTried)
        .school(&school.id);
    let look = look.amount(report.differences.len());
    markback.audit_log().look(look).await?;
    let names = Roll::of(markback, school).await?;
    let base = base(&school.id);
    let differences = report.differences.iter().take(DIFFERENCES).map(|one| {
        let key = names.person(&one.person, None);
        let key = key.map_or(one.person.as_str(), |person| person.key.as_str());
        DifferenceView {
            name: names.name(&one.person, None),
            href: format!("{base}/people/{}?date={}", segment(key), one.date),
            when: day_and_time(one.at.to_utc(), timezone),
            change: one.change.text(1),
            active: one.active.outcome.clone(),
            active_steps: one.active.steps.clone(),
            draft: one.draft.outcome.clone(),
            draft_steps: one.draft.steps.clone(),
        }
    });
    let apart = report.apart.iter();
    html(&TryPage {
        headline: headline(&report),
        summary: report.summary.clone(),
        more: report.differences.len().saturating_sub(DIFFERENCES),
        apart: apart
            .map(|apart| format!("{}: {}", counted(apart.count, "event", "events"), apart.why))
            .collect(),
        differences: differences.collect(),
        may_set: tried.may_set,
        why_not: tried.why_not,
        ..page
    })
}

fn headline(report: &Report) -> String {
    let compared = counted(
        report.compared,
        "sign-in or sign-out",
        "sign-ins and sign-outs",
    );
    match (report.compared, report.differences.len()) {
        (0, _) => "Nothing happened in the last school days that could be compared.".to_owned(),
        (_, 0) => {
            format!("{compared} of the last school days: every mark would have been the same.")
        }
        (_, different) => format!(
            "{compared} of the last school days: {} would have been different.",
            counted(different, "mark", "marks")
        ),
    }
}

#[derive(Template)]
#[template(path = "rules_one.html")]
struct OnePage {
    frame: Frame,
    out: bool,
    date: String,
    time: String,
    held: String,
    fields: Vec<QuestionView>,
    problem: Option<String>,
    active: Option<DecisionView>,
    draft: Option<DecisionView>,
    has_draft: bool,
    back: String,
}

struct QuestionView {
    name: String,
    key: String,
    on: &'static str,
    options: Vec<(String, bool)>,
}

struct DecisionView {
    outcome: String,
    steps: Vec<String>,
}

/// What one sign-in or sign-out would make by the rules that count and by the draft, whoever it is.
async fn try_one(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, group)): Path<(String, String)>,
    Query(typed): Query<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let known = school
        .group(&group)
        .ok_or_else(|| PageError::new(ErrorKind::NotFound))?;
    let seen = seen(&markback, school).await?;
    let settings = markback.settings();
    let drafted = seen
        .draft()
        .and_then(|draft| school_from_text(&settings, &school.id, "draft", &draft.body).ok())
        .map(|(drafted, _)| drafted);
    let now = markback.clock().now().with_timezone(&school.timezone);
    let or = |name: &str, default: &str| match field(&typed, name) {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    let mut page = OnePage {
        frame: Frame::of_school(
            format!("Try one event: {group}"),
            &at.visitor,
            school,
            Some(Section::Rules),
        ),
        out: field(&typed, "kind") == "out",
        date: or("date", &now.format("%Y-%m-%d").to_string()),
        time: or("time", "09:05"),
        held: field(&typed, "held").trim().to_owned(),
        fields: known
            .fields
            .iter()
            .map(|question| {
                let key = format!("{ANSWER}{}", question.name);
                let answer = field(&typed, &key).to_owned();
                QuestionView {
                    on: match question.on {
                        EventKind::SignIn => "at a sign-in",
                        EventKind::SignOut => "at a sign-out",
                    },
                    options: question
                        .options
                        .iter()
                        .map(|option| (option.text.clone(), option.text == answer))
                        .collect(),
                    name: question.name.clone(),
                    key,
                }
            })
            .collect(),
        problem: None,
        active: None,
        draft: None,
        has_draft: drafted.is_some(),
        back: format!("{}/rules/groups/{}", base(&school.id), segment(&group)),
    };
    if typed.is_empty() {
        return html(&page);
    }
    let event = match event_of(&page, &typed, known, school) {
        Ok(event) => event,
        Err(problem) => {
            page.problem = Some(problem);
            return html(&page);
        }
    };
    let mis = match markback.schools().mis(school).await {
        Ok(mis) => mis,
        Err(error) => {
            page.problem = Some(format!(
                "The MIS could not be asked for its codes: {error}."
            ));
            return html(&page);
        }
    };
    let codes = match mis.code_book().await {
        Ok(codes) => codes,
        Err(error) => {
            page.problem = Some(format!(
                "The MIS could not be asked for its codes: {error}."
            ));
            return html(&page);
        }
    };
    let given = Given {
        capabilities: mis.capabilities(),
        quirks: mis.quirks(),
        codes: &codes,
        held: (!page.held.is_empty()).then_some(page.held.as_str()),
        closures: &ReadClosures::default(),
    };
    let decided = |school: &School, group: &Group| {
        let decision = explain(school, group, &event, &given);
        DecisionView {
            outcome: decision.outcome.to_string(),
            steps: decision.steps,
        }
    };
    let active = decided(school, known);
    let draft = drafted.as_ref().and_then(|drafted| {
        let group = drafted.group(&group)?;
        Some(decided(drafted, group))
    });
    (page.active, page.draft) = (Some(active), draft);
    html(&page)
}

/// The event of the form; an error says what is wrong with it.
fn event_of(
    page: &OnePage,
    typed: &[(String, String)],
    group: &Group,
    school: &School,
) -> Result<Event, String> {
    let date: NaiveDate = page
        .date
        .trim()
        .parse()
        .map_err(|_| "Give the day, such as 2026-11-23.".to_owned())?;
    let time = NaiveTime::parse_from_str(page.time.trim(), "%H:%M")
        .map_err(|_| "Give the time, such as 09:05.".to_owned())?;
    let at = school
        .timezone
        .from_local_datetime(&date.and_time(time))
        .earliest()
        .ok_or("The clocks skip this time.")?;
    let kind = if page.out {
        EventKind::SignOut
    } else {
        EventKind::SignIn
    };
    let answers = group
        .fields
        .iter()
        .filter(|question| question.on == kind)
        .map(|question| {
            let answer = field(typed, &format!("{ANSWER}{}", question.name));
            (question.name.clone(), answer.to_owned())
        })
        .filter(|(_, answer)| !answer.is_empty());
    let event = Event {
        id: "tried".to_owned(),
        person: "somebody".to_owned(),
        kind_of_person: None,
        kind,
        at: at.fixed_offset(),
        answers: answers.collect(),
        automatic: false,
        remote: false,
    };
    let problems = check_answers(&event, &group.fields);
    match problems.first() {
        None => Ok(event),
        Some(problem) => Err(problem.to_string()),
    }
}
