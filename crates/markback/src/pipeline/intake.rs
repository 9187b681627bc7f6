//! Taking events in: checked, then kept with their jobs in one transaction, then answered.
//!
//! Each commit waits for the disk, so what comes in during one commit goes into the next together.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mis_core::wonde::SchoolId;
use roster::{Directory, Found};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use writeback::{Event, check_answers};

use super::{Pipeline, job::DecideJob, trouble::is_longer};
use crate::{
    directory::{line_of, nobody, person_of, several},
    schools::token_lane,
    settings::School,
    sight,
    store::{EventState, NewEvent},
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
    answer: oneshot::Sender<Result<Vec<Taken>, IntakeError>>,
}

impl Intake {
    /// Opens the door. It closes when the last clone is gone.
    pub fn open(pipeline: Pipeline) -> Self {
        let (keep, requests) = mpsc::channel(WAITING_MAX);
        tokio::spawn(keep_all(pipeline.clone(), requests));
        Self { pipeline, keep }
    }

    /// Checks events of one school and keeps them: all of them, or, when anything is wrong, none. An event whose id was
    /// seen before is answered as it stands and not taken again.
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
        match pipeline.keep(&batch).await {
            Ok(states) => {
                for request in batch {
                    let taken = request.events.iter().map(|event| Taken {
                        id: event.id.clone(),
                        state: states
                            .get(&(request.school.to_string(), event.id.clone()))
                            .copied()
                            .unwrap_or(EventState::Received),
                    });
                    let taken = taken.collect();
                    // Whoever asked may have gone away; the events are kept all the same.
                    let _ = request.answer.send(Ok(taken));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "events could not be kept and were refused");
                for request in batch {
                    let _ = request.answer.send(Err(IntakeError::Unavailable {
                        why: error.to_string(),
                    }));
                }
            }
        }
    }
}

impl Pipeline {
    /// Keeps the events that are new with their jobs, and tells the states of those that were known.
    async fn keep(
        &self,
        batch: &[Request],
    ) -> outbox::Result<HashMap<(String, String), EventState>> {
        let all: Vec<NewEvent<'_>> = batch
            .iter()
            .flat_map(|request| {
                request.events.iter().map(|event| NewEvent {
                    school: &request.school,
                    event,
                })
            })
            .collect();
        let mut tx = self.store.database().begin().await?;
        let new = self.store.insert_events(&mut tx, &all).await?;
        let mut by_key: HashMap<(&str, &str), &NewEvent<'_>> = HashMap::new();
        for event in &all {
            by_key
                .entry((event.school.as_str(), event.event.id.as_str()))
                .or_insert(event);
        }
        let mut fresh: HashSet<(&str, &str)> = new
            .iter()
            .map(|(school, id)| (school.as_str(), id.as_str()))
            .collect();
        // In the order in which they came, which is the order of each person's line.
        let lines = batch.iter().flat_map(|request| &request.lines);
        let jobs: Vec<_> = all
            .iter()
            .zip(lines)
            .filter(|(event, _)| fresh.remove(&(event.school.as_str(), event.event.id.as_str())))
            .filter_map(|(event, line)| {
                let school = self.settings.school(event.school)?;
                Some(DecideJob::new_job(
                    event.event,
                    line,
                    0,
                    school.id.as_str(),
                    &token_lane(school),
                ))
            })
            .collect();
        self.store.outbox().enqueue(&mut tx, &jobs).await?;
        let seen: Vec<(&str, &str)> = if new.len() == all.len() {
            Vec::new()
        } else {
            by_key.keys().copied().collect()
        };
        let states = if seen.is_empty() {
            HashMap::new()
        } else {
            self.store.states(&mut tx, &seen).await?
        };
        tx.commit().await?;
        sight::events(EventState::Received, new.len());
        Ok(states)
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
            match serde_path_to_error::deserialize::<_, Event>(value) {
                Ok(event) => {
                    problems.extend(self.check_event(school, directory, place, &event));
                    read.push(event);
                }
                Err(error) => problems.push(unreadable(place, &error)),
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
                Found::Nobody => {
                    let what = nobody(school, event);
                    add(
                        "person",
                        Some(event.person.clone()),
                        what,
                        "use the ids of the school's groups, or sync them",
                    );
                }
                Found::Several(people) => {
                    let (what, cure) = several(&people);
                    add("person", Some(event.person.clone()), what, cure);
                }
                Found::One(entry) => {
                    if let Some(group) = entry.group.as_deref().and_then(|name| school.group(name))
                    {
                        problems.extend(check_answers(event, &group.fields).into_iter().map(
                            |found| InputProblem {
                                key: format!("[{place}].{}", found.key),
                                // An answer may be a child's own words, and whoever sent it may log what comes back.
                                value: None,
                                what: found.what,
                                cure: found.cure,
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

fn unreadable(place: usize, error: &serde_path_to_error::Error<serde_json::Error>) -> InputProblem {
    let path = error.path().to_string();
    let key = if path == "." {
        format!("[{place}]")
    } else {
        format!("[{place}].{path}")
    };
    let what = if path.starts_with("answers") {
        // For the same reason: the decoder would repeat the answer.
        "answers are an object of texts: field name to the text of the option".to_owned()
    } else {
        error.inner().to_string()
    };
    InputProblem {
        key,
        value: None,
        what,
        cure: r#"send {"id", "person", "kind": "sign_in" | "sign_out", "at": "2026-11-23T09:07:12Z", "answers": {}}"#.to_owned(),
    }
}
