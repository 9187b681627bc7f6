//! Step 1: receives events. They are checked, stored with their decide jobs in one transaction, and then answered.
//!
//! Each commit waits for the disk, so requests that arrive during one commit share the next.

pub(crate) mod content;
mod decode;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use roster::{Directory, PersonMatch};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use writeback::{Event, check_answers};

use super::{
    failure::{Panicked, caught, is_longer},
    jobs::DecideJob,
};
use crate::{
    audit_log::{AuditAction, NewAuditEntry},
    metrics::{self, IntakePart},
    operator::Actor,
    people::{PersonIndex, line_of, nobody, person_of, several},
    schools::token_key,
    settings::{LiveSettings, School, Service},
    store::{EventKey, EventState, NewEvent, Store},
};

/// The most events in one request.
pub const EVENTS_MAX: usize = 5_000;
/// The longest id of an event or a person in bytes: ids are parts of database keys.
const ID_MAX: usize = 200;
/// The most requests that wait to be stored; the next is answered with "try again later".
const WAITING_MAX: usize = 10_000;
/// About how many events are stored in one transaction.
const COMMIT_EVENTS: usize = 1_000;

/// An event that was received, now or before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ReceivedEvent {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: EventState,
}

/// The result for one event of a batch: received, or refused with its problems.
pub type IntakeResult = Result<ReceivedEvent, Vec<InputProblem>>;

/// A problem in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputProblem {
    /// Where: `[2].at`, `[0].answers.Reason`.
    pub key: String,
    /// The value as given, if it is short and helps. For the reply, never for a log.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl InputProblem {
    /// The place in its request of the event with the problem, from zero.
    pub fn place(&self) -> Option<usize> {
        let (place, _) = self.key.strip_prefix('[')?.split_once(']')?;
        place.parse().ok()
    }

    /// The same problem for an event at another place.
    fn moved_to(mut self, place: usize) -> Self {
        if let Some((_, field)) = self.key.split_once(']') {
            self.key = format!("[{place}]{field}");
        }
        self
    }
}

/// Why a request was refused. None of its events were stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The settings have no such school.
    #[error("there is no school {id} in the settings; check the id, or add the school")]
    UnknownSchool {
        /// The requested id.
        id: String,
    },
    /// There are too many events in the request.
    #[error("{given} events in one request are too many; send at most {EVENTS_MAX}")]
    TooMany {
        /// Their number.
        given: usize,
    },
    /// Some events are invalid.
    #[error("{} of the values are invalid", .0.len())]
    Problems(Vec<InputProblem>),
    /// Some ids belong to events with other content.
    #[error("{} of the ids belong to other events", .0.len())]
    Conflict(Vec<InputProblem>),
    /// The database stores nothing at the moment.
    #[error("events cannot be stored at the moment: {why}; try again in a few seconds")]
    Unavailable {
        /// Why.
        why: String,
    },
}

impl IntakeError {
    fn unavailable(why: impl ToString) -> Self {
        Self::Unavailable {
            why: why.to_string(),
        }
    }
}

/// Receives events.
#[derive(Clone, Debug)]
pub struct Intake {
    settings: LiveSettings,
    store: Store,
    people: Arc<PersonIndex>,
    requests: mpsc::Sender<Request>,
}

struct Request {
    school: SchoolId,
    events: Vec<Event>,
    /// The person whose events each event is in order with.
    persons: Vec<String>,
    /// For the audit log.
    entry: NewAuditEntry,
    arrived: Instant,
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Vec<ReceivedEvent>, IntakeError>;

impl Intake {
    /// Starts the task that stores events. It ends with the last clone.
    pub(crate) fn start(settings: LiveSettings, store: Store, people: Arc<PersonIndex>) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let writer = Writer {
            settings: settings.clone(),
            store: store.clone(),
        };
        tokio::spawn(writer.run(waiting));
        Self {
            settings,
            store,
            people,
            requests,
        }
    }

    /// Checks events of one school and stores all of them, or none if any is invalid. An event that was received before is
    /// answered with its state and not stored again; another event with the same id is invalid.
    ///
    /// # Errors
    /// Returns an [`IntakeError`] if the request was refused.
    pub async fn submit(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
        actor: &Actor,
    ) -> Result<Vec<ReceivedEvent>, IntakeError> {
        let current = self.settings.current();
        let Some(settings) = current.school(school) else {
            return Err(IntakeError::UnknownSchool {
                id: school.to_string(),
            });
        };
        if events.len() > EVENTS_MAX {
            return Err(IntakeError::TooMany {
                given: events.len(),
            });
        }
        // Before the events are checked, because to name nobody is one of their problems.
        let named = events
            .iter()
            .filter_map(|event| event.get("person")?.as_str());
        let (ids, by) = (named.collect(), &settings.persons.by);
        let directory = self.people.owners(school, &ids, by).await;
        let directory = directory.map_err(IntakeError::unavailable)?;
        let check = EventCheck {
            service: &current.service,
            school: settings,
            directory: directory.as_deref(),
            now: self.store.now(),
        };
        let events = check.read(events).map_err(IntakeError::Problems)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let persons = events
            .iter()
            .map(|event| line_of(settings, directory.as_deref(), event))
            .collect();
        let (answer, answered) = oneshot::channel();
        let request = Request {
            school: school.clone(),
            persons,
            events,
            entry: actor.entry(AuditAction::EventsSent).school(school),
            arrived: Instant::now(),
            answer,
        };
        self.requests
            .try_send(request)
            .map_err(|_| IntakeError::unavailable("too many requests wait for the database"))?;
        answered
            .await
            .unwrap_or_else(|_| Err(IntakeError::unavailable("the service is stopping")))
    }

    /// Checks events of one school and stores those that are valid. Returns the result for each, in order.
    ///
    /// # Errors
    /// Returns an [`IntakeError`] if the request was refused for another reason than invalid events.
    pub async fn submit_valid(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
        actor: &Actor,
    ) -> Result<Vec<IntakeResult>, IntakeError> {
        let mut left: Vec<(usize, Value)> = events.into_iter().enumerate().collect();
        let mut results: BTreeMap<usize, IntakeResult> = BTreeMap::new();
        while !left.is_empty() {
            let batch = left.iter().map(|(_, event)| event.clone()).collect();
            let problems = match self.submit(school, batch, actor).await {
                Ok(taken) => {
                    let places = left.iter().map(|(place, _)| *place);
                    results.extend(places.zip(taken.into_iter().map(Ok)));
                    break;
                }
                Err(IntakeError::Problems(problems) | IntakeError::Conflict(problems)) => problems,
                Err(error) => return Err(error),
            };
            let before = left.len();
            let mut bad: BTreeMap<usize, Vec<InputProblem>> = BTreeMap::new();
            for problem in problems {
                let found = problem.place().and_then(|at| Some((at, left.get(at)?.0)));
                if let Some((at, place)) = found {
                    bad.entry(at).or_default().push(problem.moved_to(place));
                }
            }
            let mut at = 0;
            left.retain(|(place, _)| {
                let problems = bad.remove(&at);
                at += 1;
                let good = problems.is_none();
                if let Some(problems) = problems {
                    results.insert(*place, Err(problems));
                }
                good
            });
            if left.len() == before {
                let why = "events were refused without naming them";
                return Err(IntakeError::unavailable(why));
            }
        }
        Ok(results.into_values().collect())
    }
}

/// What events of one school are checked against.
pub(crate) struct EventCheck<'a> {
    pub(crate) service: &'a Service,
    pub(crate) school: &'a School,
    /// `None` until the school's people have been read for the first time.
    pub(crate) directory: Option<&'a Directory>,
    pub(crate) now: DateTime<Utc>,
}

impl EventCheck<'_> {
    /// Reads events, or returns all that is wrong with them.
    pub(crate) fn read(&self, events: Vec<Value>) -> Result<Vec<Event>, Vec<InputProblem>> {
        let mut problems = Vec::new();
        let mut read = Vec::with_capacity(events.len());
        for (place, value) in events.into_iter().enumerate() {
            match Event::deserialize(&value) {
                Ok(event) => {
                    problems.extend(self.check(place, &event));
                    read.push(event);
                }
                Err(_) => problems.extend(decode::problems(place, &value)),
            }
        }
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }

    fn check(&self, place: usize, event: &Event) -> Vec<InputProblem> {
        let Self {
            service,
            school,
            directory,
            now,
        } = self;
        let mut problems = Vec::new();
        let mut add = |field: &str, value: Option<String>, message: String, help: &str| {
            problems.push(InputProblem {
                key: format!("[{place}].{field}"),
                value,
                message,
                help: help.to_owned(),
            });
        };
        for (field, id) in [("id", &event.id), ("person", &event.person)] {
            if id.len() > ID_MAX || id.contains('\0') {
                let message = format!("an id can have at most {ID_MAX} bytes and no zero byte");
                add(
                    field,
                    None,
                    message,
                    "use the sign-in system's own short id",
                );
            }
        }
        let age = now.signed_duration_since(event.at);
        let given = Some(event.at.to_rfc3339());
        if is_longer(age, service.accept_age) {
            let message = format!(
                "the event is older than {}",
                humantime::format_duration(service.accept_age)
            );
            add(
                "at",
                given,
                message,
                "enter the mark in the MIS by hand; events this old are not written",
            );
        } else if is_longer(-age, service.future_tolerance) {
            let ahead = humantime::format_duration(service.future_tolerance);
            add(
                "at",
                given,
                format!("the event is more than {ahead} in the future"),
                "correct the sign-in system's clock",
            );
        }
        // Before the people have been read for the first time, nobody is unknown: the decision waits for that.
        if let Some(directory) = directory {
            match person_of(school, directory, event) {
                PersonMatch::Nobody => {
                    let message = nobody(school, event);
                    add(
                        "person",
                        Some(event.person.clone()),
                        message,
                        "use the ids of the school's groups, or sync them",
                    );
                }
                PersonMatch::Several(people) => {
                    let (message, help) = several(&people);
                    add("person", Some(event.person.clone()), message, help);
                }
                PersonMatch::One(entry) => {
                    if let Some(group) = entry.group.as_deref().and_then(|name| school.group(name))
                    {
                        problems.extend(check_answers(event, &group.fields).into_iter().map(
                            |found| InputProblem {
                                key: format!("[{place}].{}", found.key),
                                // An answer may be a child's own words, and the sender may log the reply.
                                value: None,
                                message: found.message,
                                help: found.help,
                            },
                        ));
                    }
                }
            }
        }
        problems
    }
}

impl Request {
    /// The answer if it was stored: the present state of events stored before, and "received" for the others.
    fn taken(&self, stored: &HashMap<EventKey, EventState>) -> Vec<ReceivedEvent> {
        let state = |id: &String| {
            let found = stored.get(&(self.school.to_string(), id.clone()));
            found.copied().unwrap_or(EventState::Received)
        };
        let taken = self.events.iter().map(|event| ReceivedEvent {
            id: event.id.clone(),
            state: state(&event.id),
        });
        taken.collect()
    }
}

/// Stores events.
struct Writer {
    settings: LiveSettings,
    store: Store,
}

impl Writer {
    /// Stores everything that has arrived since the last transaction in the next one.
    async fn run(self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.recv().await {
            let mut events = first.events.len();
            let mut batch = vec![first];
            while events < COMMIT_EVENTS
                && let Ok(next) = requests.try_recv()
            {
                events += next.events.len();
                batch.push(next);
            }
            for request in &batch {
                metrics::intake(IntakePart::Queue, request.arrived.elapsed());
            }
            let kept = match caught(self.store_batch(&batch)).await {
                Ok(Ok(answers)) => Ok(answers),
                Ok(Err(error)) => Err(error.to_string()),
                Err(Panicked) => {
                    Err("the service failed; its log shows the source location".to_owned())
                }
            };
            match kept {
                Ok(answers) => {
                    for (request, answer) in batch.into_iter().zip(answers) {
                        // The client may have disconnected; the events are stored all the same.
                        let _ = request.answer.send(answer);
                    }
                }
                Err(why) => {
                    tracing::warn!(error = why, "events could not be stored and were refused");
                    for request in batch {
                        let _ = request.answer.send(Err(IntakeError::unavailable(&why)));
                    }
                }
            }
        }
    }

    /// Stores new events with their jobs and returns the answer to each request. A request with conflicting ids is refused as
    /// a whole, without any effect on the others.
    async fn store_batch(&self, batch: &[Request]) -> outbox::Result<Vec<Answer>> {
        let mut refused = BTreeMap::new();
        let stored = loop {
            let requests: Vec<(usize, &Request)> = batch
                .iter()
                .enumerate()
                .filter(|(number, _)| !refused.contains_key(number))
                .collect();
            match self.store_all_or_none(&requests).await? {
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

    /// Stores the new events of all these requests and returns the states of those that were stored before; or stores nothing
    /// and returns the conflicts of each request. Of an erased event nothing but its id is known, so another event with
    /// that id counts as a repetition.
    async fn store_all_or_none(
        &self,
        requests: &[(usize, &Request)],
    ) -> outbox::Result<Result<HashMap<EventKey, EventState>, BTreeMap<usize, Vec<InputProblem>>>>
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
        let since = Instant::now();
        let mut tx = self.store.database().begin_ahead().await?;
        metrics::intake(IntakePart::Connection, since.elapsed());
        let since = Instant::now();
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
        let erased: Vec<_> = known
            .into_iter()
            .filter(|key| !stored.contains_key(key))
            .collect();
        let erased = self.store.erased_events(&mut tx, &erased).await?;
        let taken = new.len();
        let settings = self.settings.current();
        let (mut jobs, mut entries) = (Vec::with_capacity(taken), Vec::new());
        // In the order of arrival, which is the order in which each person's events are decided.
        for (_, request) in requests {
            let is_new = |(event, _): &(&Event, _)| {
                new.remove(&(request.school.to_string(), event.id.clone()))
            };
            let events = request.events.iter().zip(&request.persons);
            let events: Vec<_> = events.filter(is_new).collect();
            let entry = request.entry.clone();
            match events.as_slice() {
                [] => continue,
                [(event, _)] => entries.push(entry.subject(&event.id).amount(1)),
                many => entries.push(entry.amount(many.len())),
            }
            let Some(school) = settings.school(&request.school) else {
                continue;
            };
            let token_key = token_key(school);
            jobs.extend(events.into_iter().map(|(event, person)| {
                DecideJob::new_job(&event.id, person, 0, school.id.as_str(), &token_key)
            }));
        }
        self.store.record_in(&mut tx, &entries).await?;
        self.store.outbox().enqueue(&mut tx, &jobs).await?;
        metrics::intake(IntakePart::Statements, since.elapsed());
        let since = Instant::now();
        tx.commit().await?;
        metrics::intake(IntakePart::Commit, since.elapsed());
        metrics::events(EventState::Received, taken);
        let stored = stored
            .into_iter()
            .map(|(key, event)| (key, event.state))
            .chain(erased);
        Ok(Ok(stored.collect()))
    }
}
