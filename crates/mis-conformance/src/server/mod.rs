//! The standard schools on a loopback port. The server stores marks that are written, and fails on demand.

mod kept;
pub(crate) mod reading;
mod register;
mod responder;
pub(crate) mod rows;
mod trouble;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use mis_wonde::{Session, StudentId};
use serde_json::{Value, json};
use tokio::sync::watch;
use wiremock::{Mock, MockServer, Request};

pub(crate) use kept::{Kept, Place};
use responder::{Cuts, Responder};
pub(crate) use trouble::{On, Plan, Trouble};

use crate::{
    answer::Answer,
    fixtures::{Answers, Outcome},
    standard::{self, Lesson, Repeated},
};

/// The prefix of all paths, as at Wonde.
const BASE: &str = "/v1.0";
/// An adapter that sends this many requests in one case is in an endless loop.
const FLOOD: usize = 400;

/// How a school differs from the standard.
#[derive(Clone, Debug)]
pub(crate) struct School {
    pub(crate) timezone: Tz,
    pub(crate) pupils: usize,
    pub(crate) lessons: Vec<Lesson>,
    /// The pupil's row from the adapter's fixture.
    pub(crate) own_student: Option<Value>,
    /// The grants in the school's record, its meta and its permissions.
    pub(crate) grants: Grants,
    /// Whether the code book can be read.
    pub(crate) code_book: bool,
    /// Codes that are listed twice.
    pub(crate) repeated: Vec<Repeated>,
}

/// A school's grants; `None` if a grant is not reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    pub(crate) approved: Option<bool>,
    pub(crate) allows_writeback: Option<bool>,
    pub(crate) attendance_write: Option<bool>,
    /// Whether meta and permissions cannot be read.
    pub(crate) hidden: bool,
}

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) token: Option<String>,
    pub(crate) method: String,
    pub(crate) path: String,
    query: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    fn of(request: &Request) -> Self {
        let bearer = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        Self {
            token: bearer
                .and_then(|value| value.strip_prefix("Bearer "))
                .map(str::to_owned),
            method: request.method.to_string(),
            path: request.url.path().to_owned(),
            query: request.url.query().unwrap_or_default().to_owned(),
            body: request.body.clone(),
        }
    }

    pub(crate) fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// The path without the common prefix.
    fn below_base(&self) -> &str {
        self.path.strip_prefix(BASE).unwrap_or(&self.path)
    }

    /// The number of the school in the path.
    pub(crate) fn school(&self) -> Option<u8> {
        let id = self
            .below_base()
            .split('/')
            .find(|part| part.starts_with('A'))?;
        (1..=9).find(|number| standard::school_id(*number) == id)
    }

    /// Whether this requests the first page of a list.
    pub(crate) fn is_first_page(&self) -> bool {
        !self
            .query
            .split('&')
            .any(|pair| pair.starts_with("page=") && pair != "page=1")
    }

    /// The body, if it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// The state of the server.
pub(crate) struct World {
    pub(crate) schools: HashMap<u8, School>,
    pub(crate) now: DateTime<Utc>,
    /// The maximum number of rows in a response, whatever was requested.
    pub(crate) page: usize,
    answers: Answers,
    kept: Vec<Kept>,
    /// Pupils who are still listed but no longer in the MIS.
    expelled: HashSet<String>,
    outcome: Outcome,
    writebacks: Vec<String>,
    seen: Vec<Seen>,
    plans: Vec<Plan>,
}

/// The running server.
pub(crate) struct Server {
    world: Arc<Mutex<World>>,
    arrived: watch::Sender<usize>,
    server: MockServer,
}

impl Server {
    /// Starts schools 1 and 2, both in London, on the winter day.
    pub(crate) async fn start(answers: Answers) -> Self {
        let now = standard::ten_past_nine(standard::WINTER, Tz::Europe__London);
        let mut world = World {
            schools: HashMap::new(),
            now,
            page: 3,
            answers,
            kept: Vec::new(),
            expelled: HashSet::new(),
            outcome: Outcome::Done,
            writebacks: Vec::new(),
            seen: Vec::new(),
            plans: Vec::new(),
        };
        for number in [1, 2] {
            world.set_school(number, Tz::Europe__London);
        }
        let world = Arc::new(Mutex::new(world));
        let arrived = watch::Sender::new(0);
        let server = MockServer::builder()
            .disable_request_recording()
            .start()
            .await;
        let responder = Responder {
            world: world.clone(),
            arrived: arrived.clone(),
        };
        Mock::given(Cuts(responder.clone()))
            .respond_with_err({
                let responder = responder.clone();
                move |request: &Request| responder.cut(request)
            })
            .with_priority(1)
            .mount(&server)
            .await;
        Mock::given(wiremock::matchers::any())
            .respond_with(responder)
            .with_priority(2)
            .mount(&server)
            .await;
        Self {
            world,
            arrived,
            server,
        }
    }

    /// The base URL for clients.
    pub(crate) fn address(&self) -> String {
        format!("{}{BASE}", self.server.uri())
    }

    /// The state of the server, to read or change.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The time for adapters.
    pub(crate) fn clock(&self) -> Clock {
        Clock(self.world.clone())
    }

    /// Moves the clock.
    pub(crate) fn pass(&self, time: TimeDelta) {
        self.world().now += time;
    }

    /// Plans a fault.
    pub(crate) fn plan(&self, plan: Plan) {
        self.world().plans.push(plan);
    }

    /// Forgets the requests so far and the remaining faults.
    pub(crate) fn forget(&self) {
        let mut world = self.world();
        world.seen.clear();
        world.plans.clear();
        self.arrived.send_replace(0);
    }

    /// The requests since the last [`forget`](Self::forget).
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.world().seen.clone()
    }

    /// The requests among them that write.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        self.world()
            .seen
            .iter()
            .filter(|seen| seen.is_write())
            .cloned()
            .collect()
    }

    /// Waits for this many requests.
    pub(crate) async fn until(&self, requests: usize) {
        let mut arrived = self.arrived.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = arrived.wait_for(|count| *count >= requests).await;
    }

    /// Waits until there are more requests than any case needs.
    pub(crate) async fn until_flooded(&self) {
        self.until(FLOOD).await;
    }
}

/// The world's clock.
pub(crate) struct Clock(Arc<Mutex<World>>);

impl Clock {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        lock(&self.0).now
    }
}

impl World {
    /// Adds a standard school with its initial marks.
    pub(crate) fn set_school(&mut self, number: u8, timezone: Tz) {
        self.schools.insert(
            number,
            School {
                timezone,
                pupils: standard::PUPILS,
                lessons: standard::lessons(number, timezone),
                own_student: None,
                grants: Grants::default(),
                code_book: true,
                repeated: Vec::new(),
            },
        );
        self.hold_standard_marks(number);
    }

    /// The written mark of a pupil in a session, wherever the MIS stores it.
    pub(crate) fn written_of(
        &self,
        student: &StudentId,
        date: NaiveDate,
        session: Session,
    ) -> Option<&Kept> {
        self.written().find(|kept| {
            kept.student == student.as_str() && kept.date == date && kept.session == session
        })
    }

    /// The marks that were written since the start.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().filter(|kept| kept.writeback.is_some())
    }

    /// Removes the written marks.
    pub(crate) fn unwrite(&mut self) {
        self.kept.retain(|kept| kept.writeback.is_none());
        self.expelled.clear();
    }

    /// From now on rejects a register with this pupil, who stays in the lists.
    pub(crate) fn expel(&mut self, student: &StudentId) {
        self.expelled.insert(student.to_string());
    }

    fn note(&mut self, seen: &Seen) -> usize {
        self.seen.push(seen.clone());
        self.seen.len()
    }
}

fn not_found() -> Answer {
    Answer::json(
        404,
        json!({"error": "resource_not_found", "error_description": "There is nothing here."}),
    )
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
