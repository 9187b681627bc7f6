//! The standard schools on a loopback port: stateful, so that what is written is read back, and able to fail on demand.

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

/// Below this all paths lie, as they do at Wonde.
const BASE: &str = "/v1.0";
/// An adapter that asks this often in one case will never stop.
const FLOOD: usize = 400;

/// What one school is like beside the standard.
#[derive(Clone, Debug)]
pub(crate) struct School {
    pub(crate) timezone: Tz,
    pub(crate) pupils: usize,
    pub(crate) lessons: Vec<Lesson>,
    /// A pupil's row that is the adapter's own.
    pub(crate) own_student: Option<Value>,
    /// Answer of the school's record, its meta and its permissions as to what is granted.
    pub(crate) grants: Grants,
    /// Whether the code book is there to be read.
    pub(crate) code_book: bool,
    /// Codes that the book has twice.
    pub(crate) repeated: Vec<Repeated>,
}

/// What a school says of its grants; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    pub(crate) approved: Option<bool>,
    pub(crate) allows_writeback: Option<bool>,
    pub(crate) attendance_write: Option<bool>,
    /// Meta and permissions may not be read at all.
    pub(crate) hidden: bool,
}

/// A request as it came in.
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

    /// The path without what all paths begin with.
    fn below_base(&self) -> &str {
        self.path.strip_prefix(BASE).unwrap_or(&self.path)
    }

    /// The number of the school whose path it is.
    pub(crate) fn school(&self) -> Option<u8> {
        let id = self
            .below_base()
            .split('/')
            .find(|part| part.starts_with('A'))?;
        (1..=9).find(|number| standard::school_id(*number) == id)
    }

    /// Whether a list was asked for from its beginning.
    pub(crate) fn is_first_page(&self) -> bool {
        !self
            .query
            .split('&')
            .any(|pair| pair.starts_with("page=") && pair != "page=1")
    }

    /// The body as JSON, if it is any.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// The state of the server.
pub(crate) struct World {
    pub(crate) schools: HashMap<u8, School>,
    pub(crate) now: DateTime<Utc>,
    /// Rows in an answer at most, whatever was asked for.
    pub(crate) page: usize,
    answers: Answers,
    kept: Vec<Kept>,
    /// Pupils who are in the lists still and whom the MIS no longer has.
    expelled: HashSet<String>,
    outcome: Outcome,
    writebacks: Vec<String>,
    seen: Vec<Seen>,
    plans: Vec<Plan>,
}

/// The standard schools, being served.
pub(crate) struct Server {
    world: Arc<Mutex<World>>,
    arrived: watch::Sender<usize>,
    server: MockServer,
}

impl Server {
    /// Schools 1 and 2, both in London, on the winter's day.
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

    /// The address that a client is given.
    pub(crate) fn address(&self) -> String {
        format!("{}{BASE}", self.server.uri())
    }

    /// The state of the server, to look at or to change.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The time that adapters are given.
    pub(crate) fn clock(&self) -> Clock {
        Clock(self.world.clone())
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: TimeDelta) {
        self.world().now += time;
    }

    /// Has something go wrong.
    pub(crate) fn plan(&self, plan: Plan) {
        self.world().plans.push(plan);
    }

    /// Forgets the requests so far, and what was still to go wrong.
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

    /// Of these, those that would change something.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        self.world()
            .seen
            .iter()
            .filter(|seen| seen.is_write())
            .cloned()
            .collect()
    }

    /// Waits until so many requests have come in.
    pub(crate) async fn until(&self, requests: usize) {
        let mut arrived = self.arrived.subscribe();
        // The sender lives as long as `self`, so that an answer always comes.
        let _ = arrived.wait_for(|count| *count >= requests).await;
    }

    /// Waits until more requests have come in than any case needs.
    pub(crate) async fn until_flooded(&self) {
        self.until(FLOOD).await;
    }
}

/// Tells the world's time.
pub(crate) struct Clock(Arc<Mutex<World>>);

impl Clock {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        lock(&self.0).now
    }
}

impl World {
    /// Puts a school there as the standard has it, with the marks that its register holds from the start.
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

    /// What was written of a pupil in a session, wherever the MIS keeps it.
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

    /// Marks that were written since the start.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().filter(|kept| kept.writeback.is_some())
    }

    /// Forgets what was written.
    pub(crate) fn unwrite(&mut self) {
        self.kept.retain(|kept| kept.writeback.is_none());
        self.expelled.clear();
    }

    /// From now on a register with this pupil in it is refused, though the lists have the pupil still.
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
