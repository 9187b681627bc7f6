//! The pull: reads a school's people step by step, so that it can be resumed.
//!
//! Records are trimmed to the requested properties page by page; nothing else is kept. The pull can be stored after
//! every step and resumed after a crash.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::stream::StreamExt as _;
use mis_core::{
    DecodeIssue, Deletion, Error, ErrorKind, Issues, Mis, PeopleQuery, Person, PersonKind, Property,
};
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Answers, Extent, Unreadable},
    part::Part,
    settings::{Needs, Settings},
    state::{KindState, RosterState, SyncScope},
};

/// A pull in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// When it began.
    pub began: DateTime<Utc>,
    needs: Needs,
    /// Whether to read students who are yet to start.
    #[serde(default)]
    pre_admission: bool,
    reaches: BTreeMap<PersonKind, SyncScope>,
    deletions: Option<Vec<Deletion>>,
    answers: Answers,
}

/// The progress of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The kind of people being read.
    pub kind: PersonKind,
    /// The records read so far.
    pub read: usize,
    /// The total according to Wonde, if given.
    pub counted: Option<u64>,
    /// Whether all are read.
    pub done: bool,
}

/// Records between two progress messages.
const TELL_EVERY: usize = 100;

impl Pull {
    /// Creates a pull of all that the settings need, in full or incrementally.
    pub fn new(state: &RosterState, settings: &Settings, full: bool, began: DateTime<Utc>) -> Self {
        Self {
            began,
            needs: settings.needs(),
            pre_admission: settings.takes_pre_admission(),
            reaches: state.scopes(settings, full),
            deletions: None,
            answers: Answers::new(),
        }
    }

    /// Whether it still reads what these settings need, so that it can be resumed.
    pub fn serves(&self, settings: &Settings) -> bool {
        self.needs == settings.needs() && self.pre_admission == settings.takes_pre_admission()
    }

    /// Whether everything is read in full.
    pub fn is_full(&self) -> bool {
        self.reaches.values().all(|reach| *reach == SyncScope::Full)
    }

    /// The kinds of people that are not read yet.
    pub fn missing(&self) -> impl Iterator<Item = PersonKind> + '_ {
        self.reaches
            .keys()
            .copied()
            .filter(|kind| !self.answers.contains_key(kind))
    }

    /// The results. Kinds that were not read are missing.
    pub fn into_answers(self) -> Answers {
        self.answers
    }

    /// The pull without its answers, which can be stored separately.
    pub fn head(&self) -> Self {
        Self {
            began: self.began,
            needs: self.needs.clone(),
            pre_admission: self.pre_admission,
            reaches: self.reaches.clone(),
            deletions: self.deletions.clone(),
            answers: Answers::new(),
        }
    }

    /// The answers so far.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Restores answers that were stored separately.
    pub fn put_back(&mut self, kind: PersonKind, answer: Result<Answer, Unreadable>) {
        if self.reaches.contains_key(&kind) {
            self.answers.insert(kind, answer);
        }
    }

    /// Reads everything that is missing.
    ///
    /// # Errors
    /// As for [`Pull::step`]. Earlier answers are kept.
    pub async fn run(
        &mut self,
        mis: &Mis,
        state: &RosterState,
        now: impl Fn() -> DateTime<Utc>,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), Error> {
        while self.step(mis, state, now(), tell).await? {}
        Ok(())
    }

    /// Takes the next step. Returns false if there was none left. Deletions are read first, so a record in a later step
    /// exists.
    ///
    /// # Errors
    /// Returns errors that affect the whole school or are temporary; the step can be repeated. An error of one kind of
    /// people, such as a missing permission, becomes part of the answers.
    pub async fn step(
        &mut self,
        mis: &Mis,
        state: &RosterState,
        now: DateTime<Utc>,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<bool, Error> {
        let earliest = self
            .reaches
            .iter()
            .filter(|(kind, _)| !self.answers.contains_key(kind))
            .filter_map(|(_, reach)| match reach {
                SyncScope::Since(since) => Some(*since),
                SyncScope::Full => None,
            })
            .min();
        if let (None, Some(since)) = (&self.deletions, earliest) {
            self.read_deletions(mis, state, since).await?;
            return Ok(true);
        }
        let Some(kind) = self.missing().next() else {
            return Ok(false);
        };
        let reading = Reading {
            mis,
            kind,
            known: state.kinds.get(&kind),
            wanted: self.needs.get(&kind).cloned().unwrap_or_default(),
            pre_admission: self.pre_admission && kind == PersonKind::Student,
            now,
        };
        let answer = match self.reaches.get(&kind) {
            Some(SyncScope::Since(since)) => {
                let deletions = self.deletions.as_deref().unwrap_or_default();
                reading.changes(*since, deletions, tell).await
            }
            _ => reading.full(tell).await,
        };
        let answer = match answer {
            Ok(answer) => Ok(answer),
            Err(error) if is_of_one_kind(&error) => Err(Unreadable {
                why: error.to_string(),
            }),
            Err(error) => return Err(error),
        };
        self.answers.insert(kind, answer);
        Ok(true)
    }

    /// The deletions since then. If they cannot be read, or a restored record is no longer known, the people
    /// are read in full.
    async fn read_deletions(
        &mut self,
        mis: &Mis,
        state: &RosterState,
        since: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut rows = mis.deletions(Some(since));
        let mut deletions = Vec::new();
        while let Some(row) = rows.next().await {
            match row {
                Ok(row) => deletions.push(row),
                Err(error) if is_of_one_kind(&error) => {
                    self.reaches
                        .values_mut()
                        .for_each(|reach| *reach = SyncScope::Full);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        for back in deletions.iter().filter(|deletion| !deletion.gone) {
            let known = state.kinds.get(&back.kind);
            if known.is_some_and(|known| known.records.get(&back.id).is_none())
                && let Some(reach) = self.reaches.get_mut(&back.kind)
            {
                *reach = SyncScope::Full;
            }
        }
        self.deletions = Some(deletions);
        Ok(())
    }
}

/// Whether an error concerns the requested data and not the school or a temporary condition.
fn is_of_one_kind(error: &Error) -> bool {
    is_refusal(error)
        || matches!(
            error.kind(),
            ErrorKind::Unsupported(_) | ErrorKind::NotFound | ErrorKind::Decode
        )
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::Refused)
}

/// The reading of one kind of people.
struct Reading<'a> {
    mis: &'a Mis,
    kind: PersonKind,
    known: Option<&'a KindState>,
    wanted: BTreeSet<Property>,
    pre_admission: bool,
    now: DateTime<Utc>,
}

/// The result of reading one list.
struct Rows {
    people: Vec<Person>,
    issues: Vec<DecodeIssue>,
    pre_admission: Option<bool>,
}

impl Reading<'_> {
    /// Reads all people. Properties that the school does not grant are found and omitted.
    async fn full(&self, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Answer, Error> {
        let counted = self.mis.people_count(self.kind).await?;
        let mut refused = BTreeSet::new();
        let mut query = PeopleQuery::new(self.kind).with(self.wanted.clone());
        let rows = match self.read(query.clone(), counted, tell).await {
            Err(error) if is_refusal(&error) => {
                refused = self.refused(error).await?;
                query
                    .properties
                    .retain(|property| !refused.contains(property));
                self.read(query.clone(), counted, tell).await?
            }
            rows => rows?,
        };
        Ok(Answer {
            asked_at: self.now,
            extent: Extent::Full { counted },
            properties: query.properties,
            refused,
            rows: rows.people,
            issues: rows.issues,
            pre_admission: rows.pre_admission,
        })
    }

    /// Finds the properties that the school does not grant or its MIS does not have, one by one. Returns the error if
    /// none is.
    async fn refused(&self, error: Error) -> Result<BTreeSet<Property>, Error> {
        let mut refused = BTreeSet::new();
        self.first_row([]).await?;
        for property in &self.wanted {
            match self.first_row([*property]).await {
                Err(error) if is_refusal(&error) => {
                    refused.insert(*property);
                }
                outcome => outcome?,
            }
        }
        if refused.is_empty() {
            Err(error)
        } else {
            Ok(refused)
        }
    }

    async fn first_row(&self, properties: impl IntoIterator<Item = Property>) -> Result<(), Error> {
        let query = PeopleQuery {
            page_size: Some(1),
            ..PeopleQuery::new(self.kind)
                .with(properties)
                .noting(&Issues::default())
        };
        match self.mis.people(query).next().await {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Reads people changed since then, or all people if the changes are ambiguous.
    async fn changes(
        &self,
        since: DateTime<Utc>,
        deletions: &[Deletion],
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Answer, Error> {
        let Some(known) = self.known else {
            return self.full(tell).await;
        };
        let refused: BTreeSet<_> = known.refused.intersection(&self.wanted).copied().collect();
        let properties: BTreeSet<_> = self.wanted.difference(&refused).copied().collect();
        let query = PeopleQuery::new(self.kind)
            .with(properties.clone())
            .changed_since(since);
        let rows = match self.read(query, None, tell).await {
            Err(error) if is_refusal(&error) => return self.full(tell).await,
            rows => rows?,
        };
        // So many strangers are no joiners: the school may have another MIS, and who is who is seen in all of them
        // only.
        let strangers = rows
            .people
            .iter()
            .filter(|row| known.records.get(&row.id).is_none());
        if strangers.count() * 2 > known.records.len() {
            return self.full(tell).await;
        }
        let mut answer = Answer {
            asked_at: self.now,
            extent: Extent::Changes {
                deletions: deletions.to_vec(),
                withdrawn: BTreeSet::new(),
            },
            properties,
            refused,
            rows: rows.people,
            issues: rows.issues,
            pre_admission: rows.pre_admission,
        };
        let parts = Part::of(self.kind, &answer.properties);
        let is_back =
            |part: &Part| parts.contains(part) && answer.rows.iter().any(|row| part.is_in(row));
        if known.lost.iter().any(is_back) {
            return self.full(tell).await;
        }
        let mut doubtful = known.records.turned(&answer, &parts);
        doubtful.retain(|part| !known.lost.contains(part));
        let found = self.nobody_has(doubtful, &answer.properties).await?;
        if let Extent::Changes { withdrawn, .. } = &mut answer.extent {
            *withdrawn = found;
        }
        Ok(answer)
    }

    /// Returns those parts that no record has. Reading stops as soon as each has been seen, usually on the first
    /// page.
    async fn nobody_has(
        &self,
        mut parts: BTreeSet<Part>,
        properties: &BTreeSet<Property>,
    ) -> Result<BTreeSet<Part>, Error> {
        if parts.is_empty() {
            return Ok(parts);
        }
        let query = PeopleQuery::new(self.kind)
            .with(properties.clone())
            .noting(&Issues::default());
        let mut rows = self.mis.people(query);
        while let Some(row) = rows.next().await {
            let row = row?;
            parts.retain(|part| !part.is_in(&row));
            if parts.is_empty() {
                break;
            }
        }
        Ok(parts)
    }

    /// The list, including students who are yet to start if they are needed and granted.
    async fn read(
        &self,
        query: PeopleQuery,
        counted: Option<u64>,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Rows, Error> {
        let issues = Issues::default();
        let query = query.noting(&issues);
        let mut progress = Progress {
            kind: self.kind,
            read: 0,
            counted,
            done: false,
        };
        let mut people = Vec::new();
        self.read_list(query.clone(), &mut people, &mut progress, tell)
            .await?;
        let mut pre_admission = None;
        if self.pre_admission {
            let listed: BTreeSet<String> = people.iter().map(|person| person.id.clone()).collect();
            let query = PeopleQuery {
                pre_admission: true,
                ..query
            };
            let mut coming = Vec::new();
            let read = self
                .read_list(query, &mut coming, &mut progress, tell)
                .await;
            pre_admission = Some(match read {
                Err(error) if is_of_one_kind(&error) => false,
                read => {
                    read?;
                    coming.retain(|person| !listed.contains(&person.id));
                    people.append(&mut coming);
                    true
                }
            });
        }
        progress.done = true;
        tell(progress);
        Ok(Rows {
            people,
            issues: issues.take(),
            pre_admission,
        })
    }

    async fn read_list(
        &self,
        query: PeopleQuery,
        people: &mut Vec<Person>,
        progress: &mut Progress,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), Error> {
        let mut rows = self.mis.people(query);
        while let Some(row) = rows.next().await {
            people.push(row?.trimmed(&self.wanted));
            progress.read += 1;
            if progress.read.is_multiple_of(TELL_EVERY) {
                tell(*progress);
            }
        }
        Ok(())
    }
}
