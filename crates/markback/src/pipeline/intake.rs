//! Taking events in: checked, then kept with their jobs in one transaction, then answered.
//!
//! Each commit waits for the disk, so what comes in during one commit goes into the next together.

mod content;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use mis_core::SchoolId;
use roster::{Directory, PersonMatch};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use writeback::{Event, check_answers};

use super::{
    Pipeline,
    job::DecideJob,
    panics::{Panicked, caught},
    trouble::is_longer,
    unreadable,
};
use crate::{
    directory::{line_of, nobody, person_of, several},
    metrics,
    schools::token_key,
    settings::School,
    store::{EventKey, EventState, NewEvent, StoredEvent},
};

/// The most events in one request.
pub const EVENTS_MAX: usize = 5_000;
/// The longest id of an event or a person, in bytes: ids are parts of the store's keys.
const ID_MAX: usize = 200;
/// Requests that wait for the store at most; beyond that the answer is "try again later".
const WAITING_MAX: usize = 10_000;
/// Events kept in one transaction, more or less.
const COMMIT_EVENTS: usize = 1_000;

/// An event that was taken in, or had been before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Its id.
    pub id: String,
    /// How far it has come.
    pub state: EventState,
}

/// Something wrong with what was handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputProblem {
    /// Where: `[2].at`, `[0].answers.Reason`.
    pub key: String,
    /// The value as given, where it is short and helps. For the reply, never for a log.
    pub value: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: String,
}

/// Why events were not taken in. None of the call's were.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The settings know no such school.
    #[error("there is no school {id} in the settings; check the id, or add the school")]
    UnknownSchool {
        /// The id asked for.
        id: String,
    },
    /// There are too many events in one call.
    #[error("{given} events in one request are too many; send at most {EVENTS_MAX}")]
    TooMany {
        /// How many there were.
        given: usize,
    },
    /// Something is wrong with some of them.
    #[error("{} of the values handed in are wrong", .0.len())]
    Problems(Vec<InputProblem>),
    /// Ids of some of them stand for events with other content.
    #[error("{} of the ids handed in stand for other events", .0.len())]
    Conflict(Vec<InputProblem>),
    /// The store takes nothing in at the moment.
    #[error("events cannot be kept at the moment: {why}; try again in a few seconds")]
    Unavailable {
        /// Why.
        why: String,
    },
}

/// The door through which events come in.
#[derive(Clone, Debug)]
pub struct Intake {
    pipeline: Pipeline,
    keep: mpsc::Sender<Request>,
}

struct Request {
    school: SchoolId,
    events: Arc<Vec<Event>>,
    /// Whose line each event is in.
    lines: Vec<String>,
    answer: oneshot::Sender<Answer>,
}

/// What a request is answered with.
type Answer = Result<Vec<Taken>, IntakeError>;

impl Intake {
    /// Opens the door. It closes when the last clone is gone.
    pub fn open(pipeline: Pipeline) -> Self {
        let (keep, requests) = mpsc::channel(WAITING_MAX);
        tokio::spawn(keep_all(pipeline.clone(), requests));
        Self { pipeline, keep }
    }

    /// Checks events of one school and keeps them: all of them, or, when anything is wrong, none. An event that was taken
    /// in before is answered as it stands and not taken again; one that only has the id of such an event is wrong.
    ///
    /// # Errors
    /// As [`IntakeError`] says.
    pub async fn take(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<Taken>, IntakeError> {
        let Some(settings) = self.pipeline.settings.school(school) else {
            return Err(IntakeError::UnknownSchool {
                id: school.to_string(),
            });
        };
        if events.len() > EVENTS_MAX {
            return Err(IntakeError::TooMany {
                given: events.len(),
            });
        }
        let directory = self
            .pipeline
            .directories
            .of(school)
            .await
            .map_err(store_away)?;
        let events = self
            .pipeline
            .read_events(settings, directory.as_deref(), events)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let lines = events
            .iter()
            .map(|event| line_of(settings, directory.as_deref(), event))
            .collect();
        let (answer, answered) = oneshot::channel();
        let request = Request {
            school: school.clone(),
            lines,
            events: Arc::new(events),
            answer,
        };
        let full = |_| IntakeError::Unavailable {
            why: "too many requests wait for the store".to_owned(),
        };
        self.keep.try_send(request).map_err(full)?;
        answered.await.unwrap_or_else(|_| {
            Err(IntakeError::Unavailable {
                why: "the service is stopping".to_owned(),
            })
        })
    }
}

impl Request {
    /// The answer when it was taken in: what was stored before as it stands, and all else as received.
    fn taken(&self, stored: &HashMap<EventKey, StoredEvent>) -> Vec<Taken> {
        let state = |id: &String| {
            let found = stored.get(&(self.school.to_string(), id.clone()));
            found.map_or(EventState::Received, |found| found.state)
        };
        let taken = self.events.iter().map(|event| Taken {
            id: event.id.clone(),
            state: state(&event.id),
        });
        taken.collect()
    }
}

/// Keeps what comes in, as much in one transaction as has come in since the last.
async fn keep_all(pipeline: Pipeline, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.recv().await {
        let mut events = first.events.len();
        let mut batch = vec![first];
        while events < COMMIT_EVENTS
            && let Ok(next) = requests.try_recv()
        {
            events += next.events.len();
            batch.push(next);
        }
        let kept = match caught(pipeline.keep(&batch)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => Err(error.to_string()),
            Err(Panicked) => {
                Err("the service failed over them; its log names the place".to_owned())
            }
        };
        match kept {
            Ok(answers) => {
                for (request, answer) in batch.into_iter().zip(answers) {
                    // Whoever asked may have gone away; the events are kept all the same.
                    let _ = request.answer.send(answer);
                }
            }
            Err(why) => {
                tracing::warn!(error = why, "events could not be kept and were refused");
                for request in batch {
                    let why = why.clone();
                    let _ = request.answer.send(Err(IntakeError::Unavailable { why }));
                }
            }
        }
    }
}

impl Pipeline {
    /// Keeps the events that are new with their jobs, and answers each request. One whose ids stand for other events is
    /// refused as a whole, and keeps none of the others from being taken in.
    async fn keep(&self, batch: &[Request]) -> outbox::Result<Vec<Answer>> {
        let mut refused = BTreeMap::new();
        let stored = loop {
            let requests: Vec<(usize, &Request)> = batch
                .iter()
                .enumerate()
                .filter(|(number, _)| !refused.contains_key(number))
                .collect();
            match self.keep_all_or_none(&requests).await? {
                Ok(stored) => break stored,
                Err(conflicts) => refused.extend(conflicts),
            }
        };
        let answers =
            batch
                .iter()
                .enumerate()
                .map(|(number, request)| match refused.remove(&number) {
                    Some(problems) => Err(IntakeError::Conflict(problems)),
                    None => Ok(request.taken(&stored)),
                });
        Ok(answers.collect())
    }

    /// Keeps the new events of all these requests and answers those that were stored before; or keeps nothing and answers
    /// which requests conflict.
    async fn keep_all_or_none(
        &self,
        requests: &[(usize, &Request)],
    ) -> outbox::Result<Result<HashMap<EventKey, StoredEvent>, BTreeMap<usize, Vec<InputProblem>>>>
    {
        let all: Vec<NewEvent<'_>> = requests
            .iter()
            .flat_map(|(_, request)| {
                request.events.iter().map(|event| NewEvent {
                    school: &request.school,
                    event,
                })
            })
            .collect();
        if all.is_empty() {
            return Ok(Ok(HashMap::new()));
        }
        let mut tx = self.store.database().begin().await?;
        let mut new: HashSet<EventKey> = self
            .store
            .insert_events(&mut tx, &all)
            .await?
            .into_iter()
            .collect();
        let known: HashSet<EventKey> = all
            .iter()
            .map(|event| (event.school.to_string(), event.event.id.clone()))
            .filter(|key| !new.contains(key))
            .collect();
        let known: Vec<_> = known.into_iter().collect();
        let stored = self.store.stored_events(&mut tx, &known).await?;
        let conflicts = content::conflicts(requests, &stored);
        if !conflicts.is_empty() {
            tx.rollback().await?;
            return Ok(Err(conflicts));
        }
        let taken = new.len();
        // In the order in which they came, which is the order of each person's line.
        let lines = requests.iter().flat_map(|(_, request)| &request.lines);
        let jobs: Vec<_> = all
            .iter()
            .zip(lines)
            .filter(|(event, _)| new.remove(&(event.school.to_string(), event.event.id.clone())))
            .filter_map(|(event, line)| {
                let school = self.settings.school(event.school)?;
                Some(DecideJob::new_job(
                    event.event,
                    line,
                    0,
                    school.id.as_str(),
                    &token_key(school),
                ))
            })
            .collect();
        self.store.outbox().enqueue(&mut tx, &jobs).await?;
        tx.commit().await?;
        metrics::events(EventState::Received, taken);
        Ok(Ok(stored))
    }

    fn read_events(
        &self,
        school: &School,
        directory: Option<&Directory>,
        events: Vec<Value>,
    ) -> Result<Vec<Event>, IntakeError> {
        let mut problems = Vec::new();
        let mut read = Vec::with_capacity(events.len());
        for (place, value) in events.into_iter().enumerate() {
            match Event::deserialize(&value) {
                Ok(event) => {
                    problems.extend(self.check_event(school, directory, place, &event));
                    read.push(event);
                }
                Err(_) => problems.extend(unreadable::problems(place, &value)),
            }
        }
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(IntakeError::Problems(problems))
        }
    }

    fn check_event(
        &self,
        school: &School,
        directory: Option<&Directory>,
        place: usize,
        event: &Event,
    ) -> Vec<InputProblem> {
        let mut problems = Vec::new();
        let mut add = |field: &str, value: Option<String>, what: String, cure: &str| {
            problems.push(InputProblem {
                key: format!("[{place}].{field}"),
                value,
                what,
                cure: cure.to_owned(),
            });
        };
        for (field, id) in [("id", &event.id), ("person", &event.person)] {
            if id.len() > ID_MAX || id.contains('\0') {
                let what = format!("an id may have {ID_MAX} bytes at most, and no zero byte");
                add(field, None, what, "use the sign-in system's own short id");
            }
        }
        let (now, service) = (self.now(), &self.settings.service);
        let age = now.signed_duration_since(event.at);
        let given = Some(event.at.to_rfc3339());
        if is_longer(age, service.accept_age) {
            let what = format!(
                "the event is older than {}",
                humantime::format_duration(service.accept_age)
            );
            add(
                "at",
                given,
                what,
                "enter the mark in the MIS by hand; nothing this old is written",
            );
        } else if is_longer(-age, service.future_tolerance) {
            let ahead = humantime::format_duration(service.future_tolerance);
            add(
                "at",
                given,
                format!("the event lies more than {ahead} in the future"),
                "set the sign-in system's clock",
            );
        }
        // Before the people were read for the first time nobody can be told from a stranger: deciding waits for that.
        if let Some(directory) = directory {
            match person_of(school, directory, event) {
                PersonMatch::Nobody => {
                    let what = nobody(school, event);
                    add(
                        "person",
                        Some(event.person.clone()),
                        what,
                        "use the ids of the school's groups, or sync them",
                    );
                }
                PersonMatch::Several(people) => {
                    let (what, cure) = several(&people);
                    add("person", Some(event.person.clone()), what, cure);
                }
                PersonMatch::One(entry) => {
                    if let Some(group) = entry.group.as_deref().and_then(|name| school.group(name))
                    {
                        problems.extend(check_answers(event, &group.fields).into_iter().map(
                            |found| InputProblem {
                                key: format!("[{place}].{}", found.key),
                                // An answer may be a child's own words, and whoever sent it may log what comes back.
                                value: None,
                                what: found.message,
                                cure: found.help,
                            },
                        ));
                    }
                }
            }
        }
        problems
    }
}

fn store_away(error: outbox::Error) -> IntakeError {
    IntakeError::Unavailable {
        why: error.to_string(),
    }
}
