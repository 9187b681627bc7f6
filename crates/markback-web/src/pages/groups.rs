//! Groups: who is in them, what the last sync changed, what it holds back and why, and who is in no group.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use chrono::NaiveDate;
use markback::{
    audit_log::AuditAction,
    people::KnownPerson,
    service::Markback,
    settings::School,
    store::{GroupChange, Horizon, SyncRecord, SyncState},
    sync::SyncRequest,
};
use mis_core::PersonKind;
use roster::PersonKey;
use serde_json::Value;
use writeback::settings::GroupKind;

use crate::{
    error::{ErrorKind, PageError},
    layout::{Frame, Section, base, html, segment},
    view::{
        said::{counted, day_and_time, form},
        who::Roll,
    },
    visitor::{AtSchool, Role},
};

/// So many syncs are looked through for the last one that told something.
const SYNCS: u32 = 20;
/// So many people of a group are listed.
const LISTED: usize = 2_000;
/// So many people in no group are listed.
const UNGROUPED: usize = 200;
/// So many changes are listed.
const CHANGES: usize = 50;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/schools/{school}/groups", get(overview))
        .route("/schools/{school}/groups/{group}", get(group))
        .route(
            "/schools/{school}/syncs/start",
            get(ask_to_start).post(start),
        )
        .route(
            "/schools/{school}/syncs/accept",
            get(ask_to_accept).post(accept),
        )
}

#[derive(Template)]
#[template(path = "groups.html")]
struct OverviewPage {
    frame: Frame,
    sync: Option<SyncView>,
    groups: Vec<GroupLine>,
    nobody_read: bool,
    ungrouped: Vec<Ungrouped>,
    ungrouped_in_all: usize,
    base: String,
    may_sync: bool,
}

struct SyncView {
    words: String,
    needs: bool,
    error: Option<String>,
    held: Vec<String>,
}

struct GroupLine {
    name: String,
    href: String,
    kind: String,
    people: String,
    changed: String,
}

struct Ungrouped {
    name: String,
    form: String,
    why: String,
}

async fn overview(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    let school = &at.school;
    let store = markback.store();
    let read = store.groups_read(&school.id).await?;
    let syncs = store.syncs(&school.id, SYNCS).await?;
    let last = syncs.iter().find(|sync| sync.state.is_final());
    let names = Roll::of(&markback, school).await?;
    let today = markback.clock().now().with_timezone(&school.timezone);
    let today = today.date_naive();
    let ungrouped: Vec<_> = names
        .people()
        .into_iter()
        .flat_map(|people| people.iter())
        .filter(|person| person.group.is_none())
        .collect();
    let shown = ungrouped.len().min(UNGROUPED);
    at.looks_at(&markback, AuditAction::SyncsShown, shown)
        .await?;
    let base = base(&school.id);
    let lines = school.groups.iter().map(|group| {
        let people = read.as_ref().and_then(|read| read.people.get(&group.name));
        let people = people.and_then(|people| usize::try_from(*people).ok());
        GroupLine {
            name: group.name.clone(),
            href: format!("{base}/groups/{}", segment(&group.name)),
            kind: group.kind.to_string(),
            people: match people {
                Some(people) => counted(people, "person", "people"),
                None => "not read yet".to_owned(),
            },
            changed: last.map_or_else(String::new, |last| changed(last, &group.name)),
        }
    });
    html(&OverviewPage {
        sync: last.map(|last| sync_view(last, &syncs, school)),
        groups: lines.collect(),
        nobody_read: read.is_none(),
        ungrouped_in_all: ungrouped.len(),
        ungrouped: ungrouped
            .into_iter()
            .take(UNGROUPED)
            .map(|person| Ungrouped {
                name: person.name(),
                form: form(person),
                why: why_in_none(person, school, today),
            })
            .collect(),
        base,
        may_sync: at.visitor.may(Role::Set),
        frame: Frame::of_school("Groups", &at.visitor, school, Some(Section::Groups)),
    })
}

fn sync_view(last: &SyncRecord, syncs: &[SyncRecord], school: &School) -> SyncView {
    let at = last.ended_at.or(last.asked_at);
    let at = at
        .map(|at| day_and_time(at, school.timezone))
        .unwrap_or_default();
    let running = syncs.iter().any(|sync| !sync.state.is_final());
    let running = if running {
        " Another reading is under way."
    } else {
        ""
    };
    let what = match last.state {
        SyncState::Done => format!("The people were read from the MIS on {at}."),
        SyncState::Held => format!(
            "The people were read from the MIS on {at}, but some changes wait until somebody has looked at them."
        ),
        SyncState::Failed => format!(
            "The people could not be read from the MIS on {at}; the groups are as they were before."
        ),
        _ => String::new(),
    };
    SyncView {
        words: format!("{what}{running}"),
        needs: last.state != SyncState::Done,
        error: last.error.clone(),
        held: held_of(last),
    }
}

fn held_of(sync: &SyncRecord) -> Vec<String> {
    let held = sync
        .report
        .as_ref()
        .and_then(|report| report["held"].as_array());
    let words = held
        .into_iter()
        .flatten()
        .filter_map(|one| Some(one["words"].as_str()?.to_owned()));
    words.collect()
}

fn changed(sync: &SyncRecord, group: &str) -> String {
    let tally = sync.report.as_ref().map(|report| &report["groups"][group]);
    let count = |what: &str| {
        let count = tally.and_then(|tally| tally[what].as_u64());
        usize::try_from(count.unwrap_or_default()).unwrap_or_default()
    };
    let said: Vec<_> = ["joined", "changed", "left"]
        .into_iter()
        .map(|what| (what, count(what)))
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    if said.is_empty() {
        "nothing changed".to_owned()
    } else {
        said.join(", ")
    }
}

/// Why no group takes somebody, as far as their record tells.
fn why_in_none(person: &KnownPerson, school: &School, today: NaiveDate) -> String {
    let kind = match person.kind {
        PersonKind::Student => GroupKind::Students,
        PersonKind::Staff => GroupKind::Staff,
        PersonKind::Parent => GroupKind::Parents,
    };
    let day = |day: NaiveDate| day.format("%-d %B %Y").to_string();
    match (person.leaves, person.joins) {
        (Some(left), _) if left < today => format!("left on {}", day(left)),
        (_, Some(joins)) if joins > today => format!("starts on {}", day(joins)),
        _ if person.pre_admission => "is yet to start".to_owned(),
        _ if !school.groups.iter().any(|group| group.kind == kind) => {
            format!("the settings have no group of {kind}")
        }
        _ => "no group’s conditions fit".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "group.html")]
struct GroupPage {
    frame: Frame,
    back: String,
    about: String,
    people: Vec<Member>,
    more: usize,
    changes: Vec<ChangeLine>,
    is_read: bool,
}

struct Member {
    name: String,
    form: String,
    href: String,
}

struct ChangeLine {
    when: String,
    name: String,
    what: String,
}

async fn group(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let school = &at.school;
    let group = school
        .group(&name)
        .ok_or_else(|| PageError::new(ErrorKind::NotFound))?;
    let store = markback.store();
    let page = store.group_people(&school.id, &group.name).await?;
    let names = Roll::of(&markback, school).await?;
    let base = base(&school.id);
    let keys: Vec<PersonKey> = page
        .iter()
        .flat_map(|page| &page.people)
        .map(|member| member.key.clone())
        .collect();
    at.looks_at(&markback, AuditAction::GroupShown, keys.len())
        .await?;
    let kind = match group.kind {
        GroupKind::Students => PersonKind::Student,
        GroupKind::Staff => PersonKind::Staff,
        GroupKind::Parents => PersonKind::Parent,
    };
    let known = |key: &PersonKey| names.people().and_then(|people| people.get(kind, key));
    let listed: BTreeSet<&PersonKey> = keys.iter().collect();
    // In the order of surnames.
    let all = names.people().into_iter().flat_map(|people| people.iter());
    let mut people: Vec<_> = all
        .filter(|person| person.kind == kind && listed.contains(&person.key))
        .map(|person| Member {
            name: person.name(),
            form: form(person),
            href: format!("{base}/people/{}", segment(person.key.as_str())),
        })
        .collect();
    let more = people.len().saturating_sub(LISTED);
    people.truncate(LISTED);
    let changes = match &page {
        Some(page) => latest_changes(&markback, school, &group.name, page.cursor).await?,
        None => Vec::new(),
    };
    let changes = changes.iter().map(|change| ChangeLine {
        when: change
            .at
            .map(|at| day_and_time(at, school.timezone))
            .unwrap_or_default(),
        name: known(&PersonKey::new(change.person.clone()))
            .map_or_else(|| change.person.clone(), KnownPerson::name),
        what: change_words(&change.what),
    });
    html(&GroupPage {
        frame: Frame::of_school(
            group.name.clone(),
            &at.visitor,
            school,
            Some(Section::Groups),
        ),
        back: format!("{base}/groups"),
        about: format!(
            "{} · {}",
            group.kind,
            counted(keys.len(), "person", "people")
        ),
        is_read: page.is_some(),
        people,
        more,
        changes: changes.collect(),
    })
}

/// The latest changes of a group, newest first.
async fn latest_changes(
    markback: &Markback,
    school: &School,
    group: &str,
    cursor: u64,
) -> Result<Vec<GroupChange>, PageError> {
    // Numbers count the changes of all groups, so a few more are asked for than are shown.
    let since = cursor.saturating_sub(u64::try_from(CHANGES * 4).unwrap_or_default());
    let mut found = Vec::new();
    for since in [since, 0] {
        let changes = markback
            .store()
            .group_changes(&school.id, group, since)
            .await?;
        if let Some(Horizon::Within(changes)) = changes {
            found = changes.changes;
        }
        if !found.is_empty() {
            break;
        }
    }
    found.reverse();
    found.truncate(CHANGES);
    Ok(found)
}

fn change_words(what: &Value) -> String {
    let fields = what["fields"].as_array().map(|fields| {
        let fields = fields.iter().filter_map(Value::as_str);
        fields
            .map(|field| field.replace('_', " "))
            .collect::<Vec<_>>()
            .join(", ")
    });
    match (what["change"].as_str(), fields) {
        (Some("joined"), _) => "joined".to_owned(),
        (Some("left"), _) => match what["words"].as_str() {
            Some(words) => format!("left: {words}"),
            None => "left".to_owned(),
        },
        (_, Some(fields)) if !fields.is_empty() => format!("changed: {fields}"),
        _ => "changed".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "sync.html")]
struct SyncPage {
    frame: Frame,
    words: Vec<String>,
    button: &'static str,
    back: String,
}

async fn ask_to_start(at: AtSchool) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let words = vec![
        "Everybody is read from the MIS again, which takes a few minutes for a large school. The groups change as the MIS has \
         changed; if surprisingly many people would leave, that is held back until somebody has looked at it."
            .to_owned(),
    ];
    html(&sync_page(
        &at,
        "Read the people now?",
        words,
        "Read the people",
    ))
}

fn sync_page(at: &AtSchool, title: &str, words: Vec<String>, button: &'static str) -> SyncPage {
    SyncPage {
        frame: Frame::of_school(title, &at.visitor, &at.school, Some(Section::Groups)),
        words,
        button,
        back: format!("{}/groups", base(&at.school.id)),
    }
}

async fn start(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    ask(&markback, &at, AuditAction::SyncStarted).await
}

async fn ask_to_accept(
    State(markback): State<Markback>,
    at: AtSchool,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let held = held_now(&markback, &at.school).await?;
    if held.is_empty() {
        return Err(nothing_held());
    }
    html(&sync_page(
        &at,
        "Apply what was held back?",
        held,
        "I have looked; apply it",
    ))
}

fn nothing_held() -> PageError {
    PageError::new(ErrorKind::Conflict).detail("Nothing is held back any more.")
}

async fn held_now(markback: &Markback, school: &School) -> Result<Vec<String>, PageError> {
    let syncs = markback.store().syncs(&school.id, SYNCS).await?;
    let last = syncs.iter().find(|sync| sync.state.is_final());
    Ok(last.map(held_of).unwrap_or_default())
}

async fn accept(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    if held_now(&markback, &at.school).await?.is_empty() {
        return Err(nothing_held());
    }
    ask(&markback, &at, AuditAction::SyncAccepted).await
}

async fn ask(
    markback: &Markback,
    at: &AtSchool,
    action: AuditAction,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let request = SyncRequest {
        full: true,
        accept: action == AuditAction::SyncAccepted,
    };
    let id = markback.sync().ask(&at.school, request).await?;
    let entry = at.visitor.entry(action).school(&at.school.id).subject(&id);
    markback.audit_log().change(entry).await?;
    let to = format!("{}/groups", base(&at.school.id));
    Ok(Redirect::to(&to).into_response())
}
