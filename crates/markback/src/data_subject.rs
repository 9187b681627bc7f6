//! What is kept about one person, for their request: all of it as one document, and its removal.
//!
//! Nothing in the MIS is touched: its marks and people are the school's records.

mod subject;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::SchoolId;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use self::{
    subject::{Subject, SubjectError, find},
    tables::{Holds, TABLES},
};
use crate::{
    audit_log::AuditAction,
    keys::Hash,
    operator::Actor,
    pipeline::jobs::event_of_key,
    settings::Settings,
    store::{EventState, KeptRow, Reading, Removal, Store, erasure as sql},
};

/// The hex digits of the hash that stands for a person.
const HASH_DIGITS: usize = 32;

/// All that is kept about a person. Holds a person's data: for authorised readers, never for a log.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct Export {
    /// The school.
    pub school: String,
    /// The id that was asked for.
    pub person: String,
    /// When it was read.
    pub at: DateTime<Utc>,
    /// The ids by which the person is known, or has been.
    pub ids: BTreeSet<String>,
    /// What is kept, by what it is. Each entry has all columns of its row.
    kept: BTreeMap<&'static str, Vec<KeptRow>>,
    /// Events whose id belongs to several people, so that it is unknown whose they are. Only their ids are listed.
    pub unclear: BTreeSet<String>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").finish_non_exhaustive()
    }
}

impl Export {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many entries there are of each kind.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let counts = self.kept.iter().map(|(what, kept)| (*what, kept.len()));
        counts.collect()
    }

    fn of(&self, what: &str) -> &[KeptRow] {
        self.kept.get(what).map_or(&[], Vec::as_slice)
    }

    fn texts<'a>(&'a self, what: &str, column: &'a str) -> impl Iterator<Item = &'a str> {
        self.of(what).iter().filter_map(|kept| kept.text(column))
    }
}

/// What an erasure removes, or has removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Erasure {
    /// The school.
    pub school: String,
    /// Stands for the person in the audit log and in the list of erasures: a hash of the school and the id.
    pub person: String,
    /// How many entries of which kind go.
    pub removed: BTreeMap<String, usize>,
    /// What stays, and why.
    pub stays: Vec<Stays>,
    /// What has to be settled first. Nothing is removed while there is any.
    pub open: Vec<Open>,
    /// Whether it has been done.
    pub done: bool,
}

/// Entries that stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stays {
    /// What they are.
    pub what: String,
    /// Their number.
    pub count: usize,
    /// Why they stay, and for how long.
    pub why: &'static str,
}

/// Something that has to be settled first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Open {
    /// The event, if it is one.
    pub event: Option<String>,
    /// What has to be settled, and how.
    pub why: String,
}

/// An erasure that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErasureEntry {
    /// Stands for the person: a hash of the school and the id.
    pub person: String,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Who, if known.
    pub by: Option<String>,
    /// Through which interface.
    pub via: String,
    /// Why, in their own words.
    pub reason: String,
    /// How many entries of which kind.
    pub removed: BTreeMap<String, usize>,
}

/// Why an erasure was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// There is no reason.
    #[error(
        "an erasure needs a reason, at most 500 characters on one line; it must not name the person"
    )]
    NoReason,
    /// The person cannot be told.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// An event changed at the same moment.
    #[error(
        "an event of this person changed at the same moment, so nothing was removed; try again"
    )]
    Changed,
    /// The database query failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// Everything that is kept about a person.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn export(
    store: &Store,
    settings: &Settings,
    subject: &Subject,
) -> outbox::Result<Export> {
    let mut reading = Reading::Database(store.database());
    gather(store, settings, &mut reading, subject).await
}

/// What an erasure would remove, and what would stay.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn preview(
    store: &Store,
    settings: &Settings,
    subject: &Subject,
) -> outbox::Result<Erasure> {
    let found = export(store, settings, subject).await?;
    Ok(plan(store, settings, subject, &found).0)
}

/// Removes what may go, in one transaction, and records it for a reason. Removes nothing if something has to be settled first:
/// then the result says what, and is not `done`.
///
/// # Errors
/// Returns an [`EraseError`] if nothing was removed for another reason.
pub async fn erase(
    store: &Store,
    settings: &Settings,
    subject: &Subject,
    actor: &Actor,
) -> Result<Erasure, EraseError> {
    let reason = actor.note_in_short().ok_or(EraseError::NoReason)?;
    let mut tx = store.database().begin().await?;
    store.lock_erasures(&mut tx).await?;
    let found = gather(store, settings, &mut Reading::Tx(&mut tx), subject).await?;
    let (mut erasure, removal) = plan(store, settings, subject, &found);
    if !erasure.open.is_empty() || erasure.removed.is_empty() {
        tx.rollback().await?;
        return Ok(erasure);
    }
    let school = subject.school.as_str();
    if !store.remove_kept(&mut tx, school, &removal).await? {
        tx.rollback().await?;
        return Err(EraseError::Changed);
    }
    let entry = ErasureEntry {
        person: erasure.person.clone(),
        at: None,
        by: actor.by_in_short(),
        via: actor.via.to_owned(),
        reason,
        removed: erasure.removed.clone(),
    };
    store.log_erasure(&mut tx, school, &entry).await?;
    let entry = actor.entry(AuditAction::PersonErased);
    let entry = entry.school(&subject.school).subject(&erasure.person);
    let entry = entry.amount(erasure.removed.values().sum());
    store.record_in(&mut tx, &[entry]).await?;
    tx.commit().await?;
    erasure.done = true;
    Ok(erasure)
}

/// The erasures of a school that were done, latest first.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn erasures(store: &Store, school: &SchoolId) -> outbox::Result<Vec<ErasureEntry>> {
    store.erasures(school.as_str()).await
}

/// Stands for a person where they must not be named. Whoever knows the id finds it again.
pub fn hash(school: &SchoolId, person: &str) -> String {
    let hash = Hash::of(format!("{school}/{person}").as_bytes()).hex();
    let shown = hash.get(..HASH_DIGITS).unwrap_or(&hash);
    format!("sha256:{shown}")
}

async fn gather(
    store: &Store,
    settings: &Settings,
    reading: &mut Reading<'_>,
    subject: &Subject,
) -> outbox::Result<Export> {
    let school = subject.school.as_str();
    let mut export = Export {
        school: school.to_owned(),
        person: subject.asked.clone(),
        at: store.now(),
        ids: subject.all_ids(),
        kept: BTreeMap::new(),
        unclear: BTreeSet::new(),
    };
    let mut students = subject.students.clone();

    let mut events = BTreeMap::new();
    let by_person = reading
        .kept(
            &sql::EVENTS_OF_PERSON,
            school,
            subject.all_ids().iter().map(String::as_str),
        )
        .await?;
    let by_student = reading
        .kept(
            &sql::EVENTS_OF_STUDENT,
            school,
            students.iter().map(String::as_str),
        )
        .await?;
    for event in by_person.into_iter().chain(by_student) {
        let Some(id) = event.text("id").map(str::to_owned) else {
            continue;
        };
        match subject.owns(settings, &event) {
            Some(true) => {
                // Of somebody who is not known any more, only the events tell by which id their marks go.
                students.extend(event.text("student").map(str::to_owned));
                events.insert(id, event);
            }
            Some(false) => {}
            None => {
                export.unclear.insert(id);
            }
        }
    }
    export.put("events", events.into_values());

    let events: Vec<String> = export.texts("events", "id").map(str::to_owned).collect();
    let events = || events.iter().map(String::as_str);
    let ids: BTreeSet<String> = export.ids.union(&students).cloned().collect();
    let students = || students.iter().map(String::as_str);
    export.put(
        "history",
        reading.kept(&sql::HISTORY, school, events()).await?,
    );
    export.put(
        "snapshots",
        reading.kept(&sql::SNAPSHOTS, school, events()).await?,
    );
    if subject.may_be_student() {
        export.put(
            "ledger",
            reading.kept(&sql::LEDGER, school, students()).await?,
        );
        export.put(
            "register",
            reading.kept(&sql::REGISTER, school, students()).await?,
        );
    }

    let feed = reading.kept(&sql::FEED, school, events()).await?;
    let entries: Vec<i64> = feed
        .iter()
        .filter_map(|entry| entry.number("seq"))
        .collect();
    export.put("feed", feed);
    export.put(
        "deliveries",
        reading.of_entries(&sql::DELIVERIES, &entries).await?,
    );
    export.put(
        "attempts",
        reading.of_entries(&sql::ATTEMPTS, &entries).await?,
    );

    let subjects = events().chain(ids.iter().map(String::as_str));
    let hash = hash(&subject.school, subject.key());
    let subjects: BTreeSet<&str> = subjects.chain([hash.as_str()]).collect();
    export.put(
        "audit_log",
        reading.kept(&sql::AUDIT_LOG, school, subjects).await?,
    );

    let lines: Vec<String> = ids.iter().map(|id| format!("{school}/{id}")).collect();
    let jobs = reading
        .kept(&sql::JOBS, school, lines.iter().map(String::as_str))
        .await?;
    let known: BTreeSet<&str> = events().collect();
    let jobs = jobs.into_iter().filter(|job| {
        let event = job.text("key").and_then(event_of_key);
        event.is_some_and(|(_, event)| known.contains(event))
    });
    export.put("jobs", jobs.collect::<Vec<_>>());

    roster(reading, subject, &mut export).await?;
    export.kept.retain(|_, kept| !kept.is_empty());
    Ok(export)
}

/// What syncs keep of a person.
async fn roster(
    reading: &mut Reading<'_>,
    subject: &Subject,
    export: &mut Export,
) -> outbox::Result<()> {
    let school = subject.school.as_str();
    let key = || [subject.key()];
    let records = || subject.students.iter().map(String::as_str);
    let is_kind = |kept: &KeptRow| kept.text("kind").is_none_or(|kind| subject.is_kind(kind));
    let of_kind = |kept: Vec<KeptRow>| kept.into_iter().filter(is_kind).collect::<Vec<_>>();
    let in_group = |kept: Vec<KeptRow>| {
        let found = kept.into_iter().filter(|kept| {
            let kind = kept.0.get("body").and_then(kind_in);
            kind.is_none_or(|kind| subject.is_kind(kind))
        });
        found.collect::<Vec<_>>()
    };
    export.put(
        "directory",
        of_kind(reading.kept(&sql::DIRECTORY, school, key()).await?),
    );
    export.put(
        "records",
        of_kind(reading.kept(&sql::RECORDS, school, records()).await?),
    );
    export.put(
        "identities",
        of_kind(reading.kept(&sql::KEYS, school, key()).await?),
    );
    export.put(
        "groups",
        in_group(reading.kept(&sql::MEMBERS, school, key()).await?),
    );
    export.put(
        "former_groups",
        in_group(reading.kept(&sql::FORMER, school, key()).await?),
    );
    export.put(
        "group_changes",
        reading.kept(&sql::CHANGES, school, key()).await?,
    );
    let named = subject.named();
    let mut reports = Vec::new();
    for sync in reading.reports(school).await? {
        let mut report = sync.0.get("report").cloned().unwrap_or_default();
        let lines = take_lines(&mut report, &named);
        if !lines.is_empty() {
            let mut kept = Map::new();
            for column in ["id", "state", "asked_ms"] {
                kept.insert(
                    column.to_owned(),
                    sync.0.get(column).cloned().unwrap_or_default(),
                );
            }
            kept.insert("lines".to_owned(), Value::Array(lines));
            kept.insert(REST.to_owned(), report);
            reports.push(KeptRow(kept));
        }
    }
    export.put("sync_reports", reports);
    let mut reads = Vec::new();
    for pull in reading.pulls(school).await? {
        let body = pull.0.get("body").cloned().unwrap_or_default();
        let mut records = Vec::new();
        records_of(&body, &named, &mut records);
        if !records.is_empty() {
            let part = pull.0.get("part").cloned().unwrap_or_default();
            let kept = json!({"part": part, "records": records});
            reads.extend(kept.as_object().cloned().map(KeptRow));
        }
    }
    export.put("syncs_on_their_way", reads);
    Ok(())
}

/// The column with the rest of a report, which is others' and not for the document.
const REST: &str = "rest";

impl Export {
    fn put(&mut self, what: &'static str, kept: impl IntoIterator<Item = KeptRow>) {
        self.kept.entry(what).or_default().extend(kept);
    }

    /// The document to hand out.
    pub fn document(&self) -> Value {
        let kept: Map<_, _> = self
            .kept
            .iter()
            .map(|(what, kept)| {
                let rows = kept.iter().map(|kept| {
                    let columns = kept.0.iter().filter(|(column, _)| *column != REST);
                    Value::Object(
                        columns
                            .map(|(name, value)| (name.clone(), value.clone()))
                            .collect(),
                    )
                });
                ((*what).to_owned(), Value::Array(rows.collect()))
            })
            .collect();
        json!({
            "school": self.school, "person": self.person, "at": self.at, "ids": self.ids, "kept": kept,
            "unclear": self.unclear,
            "elsewhere": "the marks in the MIS are the school's records, and so are the people there",
        })
    }
}

/// What goes and what stays of what was found.
fn plan<'a>(
    store: &Store,
    settings: &Settings,
    subject: &'a Subject,
    found: &'a Export,
) -> (Erasure, Removal<'a>) {
    let timezone = settings
        .school(&subject.school)
        .map(|school| school.timezone);
    let today = timezone.map_or_else(
        || store.now().date_naive(),
        |timezone| store.now().with_timezone(&timezone).date_naive(),
    );
    let mut open = Vec::new();
    for event in found.of("events") {
        open.extend(unsettled(event, today));
    }
    for session in found.of("ledger") {
        // Events that are pruned or erased may have left it.
        if day_of(session).is_some_and(|day| day >= today) && open.is_empty() {
            open.push(Open {
                event: None,
                why: NOT_PAST.to_owned(),
            });
        }
    }

    let waiting: BTreeSet<i64> = (found.of("deliveries").iter())
        .filter(|delivery| delivery.text("state") == Some("waiting"))
        .filter_map(|delivery| delivery.number("seq"))
        .collect();
    let may_go = |seq: Option<i64>| seq.is_some_and(|seq| !waiting.contains(&seq));
    let is_known = !found.of("records").is_empty() || !found.of("groups").is_empty();
    let is_ended = |sync: &&KeptRow| matches!(sync.text("state"), Some("done" | "failed"));
    let removal = Removal {
        events: (found.of("events").iter())
            .filter_map(|event| {
                Some((
                    event.text("id")?,
                    event.text("state")?,
                    event.number("round")?,
                ))
            })
            .collect(),
        ledger: (found.of("ledger").iter())
            .filter_map(|row| Some((row.text("student")?, row.text("day")?, row.text("session")?)))
            .collect(),
        feed: (found.of("feed").iter())
            .filter_map(|entry| entry.number("seq").filter(|seq| may_go(Some(*seq))))
            .map(|seq| (seq,))
            .collect(),
        jobs: (found.of("jobs").iter())
            .filter(|job| job.number("state").is_some_and(|state| state >= 2))
            .filter_map(|job| Some((job.number("id")?,)))
            .collect(),
        leavers: if is_known {
            BTreeSet::new()
        } else {
            let of = |what: &'static str, id: &'static str| {
                let kept = found.of(what).iter();
                kept.filter_map(move |kept| Some((kept.text("kind")?, kept.text(id)?)))
            };
            of("directory", "person")
                .chain(of("identities", "id"))
                .collect()
        },
        former: (found.of("former_groups").iter())
            .filter_map(|kept| Some((kept.text("kind")?, kept.text("id")?)))
            .collect(),
        reports: (found.of("sync_reports").iter())
            .filter(is_ended)
            .filter_map(|sync| Some((sync.text("id")?, sync.0.get(REST)?.to_string())))
            .collect(),
    };

    let gone = |what: &str| -> usize {
        let all = found.of(what);
        let of_feed = |kept: &&KeptRow| may_go(kept.number("seq"));
        match what {
            "events" | "history" | "snapshots" | "ledger" | "former_groups" => all.len(),
            "feed" | "deliveries" | "attempts" => all.iter().filter(of_feed).count(),
            "jobs" => removal.jobs.len(),
            "directory" | "identities" if !is_known => all.len(),
            "sync_reports" => removal.reports.len(),
            _ => 0,
        }
    };
    let mut removed = BTreeMap::new();
    let mut stays = Vec::new();
    for (what, count) in found.counts() {
        let gone = gone(what);
        if gone > 0 {
            removed.insert(what.to_owned(), gone);
        }
        if count > gone {
            stays.push(Stays {
                what: what.to_owned(),
                count: count - gone,
                why: why_it_stays(what),
            });
        }
    }
    if !found.unclear.is_empty() {
        stays.push(Stays {
            what: "unclear".to_owned(),
            count: found.unclear.len(),
            why: "events whose id belongs to several people; they end by their time",
        });
    }
    let erasure = Erasure {
        school: subject.school.to_string(),
        person: hash(&subject.school, subject.key()),
        removed,
        stays,
        open,
        done: false,
    };
    (erasure, removal)
}

const NOT_PAST: &str = "a mark of ours is in a session of today or later, and decisions about that session need it; erase when \
     the day is past";

fn day_of(kept: &KeptRow) -> Option<NaiveDate> {
    kept.text("day")?.parse().ok()
}

/// What keeps an event from being erased.
fn unsettled(event: &KeptRow, today: NaiveDate) -> Option<Open> {
    let id = event.text("id")?;
    let state: Option<EventState> = event.text("state").and_then(|word| word.parse().ok());
    let why = match state {
        Some(state) if state.needs_person() => format!(
            "it is {} and waits for a person: settle it with `markback events`, or discard it",
            state.as_str()
        ),
        Some(state) if state.is_final() => {
            if day_of(event).is_none_or(|day| day < today) {
                return None;
            }
            NOT_PAST.to_owned()
        }
        Some(state) => format!(
            "it is {}, and what becomes of it is not known yet; try again when it has settled",
            state.as_str()
        ),
        None => "its state is that of a newer version; run that version".to_owned(),
    };
    Some(Open {
        event: Some(id.to_owned()),
        why,
    })
}

fn why_it_stays(what: &str) -> &'static str {
    match what {
        "register" => {
            "a copy of the MIS's register that decisions look at; it goes when its days are past"
        }
        "feed" | "deliveries" | "attempts" => {
            "an endpoint still waits for it, or it is not numbered yet; it goes with `feed.keep`"
        }
        "audit_log" => {
            "it proves who saw and changed what, by ids only; it goes with `retention_audit`"
        }
        "directory" | "records" | "identities" | "groups" => {
            "the school has the person in its MIS, and each sync would read them again; it goes after the person has left there"
        }
        "group_changes" => {
            "hosts learn from it that the person joined or left a group; by id only, it goes with `retention`"
        }
        "sync_reports" | "syncs_on_their_way" => {
            "the sync has not ended, or waits for somebody's decision; erase again after it"
        }
        "jobs" => "the queue still works on it; it goes with `retention`",
        _ => "it ends by its time",
    }
}

/// The kind of a member of a group.
fn kind_in(body: &Value) -> Option<&str> {
    let member = body.get("member").unwrap_or(body);
    member.get("person")?.get("kind")?.as_str()
}

/// Takes the lines about these people out of the lists of a report.
fn take_lines(report: &mut Value, ids: &BTreeSet<&str>) -> Vec<Value> {
    let mut taken = Vec::new();
    match report {
        Value::Object(fields) => {
            for field in fields.values_mut() {
                taken.extend(take_lines(field, ids));
            }
        }
        Value::Array(lines) => {
            for line in std::mem::take(lines) {
                // A migration is one line of all people of a kind.
                let mut line = line;
                if line.get("matched").is_some() {
                    taken.extend(take_lines(&mut line, ids));
                    lines.push(line);
                } else if mentions(&line, ids) {
                    taken.push(line);
                } else {
                    lines.push(line);
                }
            }
        }
        _ => {}
    }
    taken
}

fn mentions(value: &Value, ids: &BTreeSet<&str>) -> bool {
    match value {
        Value::String(text) => ids.contains(text.as_str()),
        Value::Array(items) => items.iter().any(|item| mentions(item, ids)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, ids)),
        _ => false,
    }
}

/// The records of these people, wherever they are in what a sync has read.
fn records_of(value: &Value, ids: &BTreeSet<&str>, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            let id = fields.get("id").and_then(Value::as_str);
            if id.is_some_and(|id| ids.contains(id)) {
                found.push(value.clone());
            } else {
                for field in fields.values() {
                    records_of(field, ids, found);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                records_of(item, ids, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
