//! Pupils whose marks are disputed: while their events come in, a teacher edits the register and the office discards
//! events and tries them again. What their marks should say in the end nobody can tell beforehand, so they take no part in
//! the comparison with the morning in peace; but no protected code that Wonde had shown may be written over.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use markback::{
    service::EventState,
    store::{EventFilter, Store},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use wonde_sandbox::{Fault, FaultRule, MarkVersion, RetryAfter, TeacherMark};

use super::{
    Env, Plan,
    client::Client,
    morning::{Happening, SCHOOLS},
};
use crate::world::{at, school_day};

/// The disputed pupils of each school.
pub(crate) const PUPILS: usize = 20;
/// The codes that the environment's settings protect.
const PROTECTED: [&str; 3] = ["/", "\\", "M"];
/// How long after Wonde has shown a code nothing that overwrites it may be sent any more: the register that a decision
/// rests on is up to a second old by the environment's settings, and so is the decision, each step is held for two seconds at
/// most by a node that stands still, and a busy machine has a second for itself.
const SLACK: TimeDelta = TimeDelta::seconds(5);
/// The most events of one pupil: they are a minute apart, and all in the morning.
const EVENTS_MAX: usize = 160;

/// A dispute goes on for so much longer than the other events come in, or a short round would have next to none.
const LONGER: Duration = Duration::from_secs(8);

/// How often each thing was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disputes {
    pub(crate) events: usize,
    pub(crate) edits: usize,
    pub(crate) discarded: usize,
    pub(crate) retried: usize,
}

/// Goes on for a little longer than the plan lasts.
pub(crate) async fn dispute(plan: Plan, env: Arc<Env>, client: Arc<Client>) -> Disputes {
    let all = Arc::new(Mutex::new(Disputes::default()));
    let pupils = env
        .disputed()
        .iter()
        .enumerate()
        .map(|(n, (school, pupil))| {
            let one = Pupil {
                plan: plan.clone(),
                env: Arc::clone(&env),
                client: Arc::clone(&client),
                all: Arc::clone(&all),
                random: StdRng::seed_from_u64(plan.seed ^ 0xd15b_07ed ^ u64::try_from(n).unwrap()),
                n,
                school: school.clone(),
                pupil: pupil.clone(),
            };
            tokio::spawn(one.go())
        });
    for pupil in pupils.collect::<Vec<_>>() {
        pupil.await.unwrap();
    }
    *all.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Pupil {
    plan: Plan,
    env: Arc<Env>,
    client: Arc<Client>,
    all: Arc<Mutex<Disputes>>,
    random: StdRng,
    n: usize,
    school: String,
    pupil: String,
}

impl Pupil {
    async fn go(mut self) {
        let end = Instant::now() + self.plan.lasts + LONGER;
        let slack = SLACK.to_std().unwrap();
        self.rest(Duration::ZERO, Duration::from_millis(1500)).await;
        for n in 0..EVENTS_MAX {
            if Instant::now() > end {
                return;
            }
            if self.random.random_bool(0.2) {
                self.teacher();
            }
            self.event(n).await;
            if self.random.random_bool(0.25) {
                let of = self.random.random_range(0..=n);
                self.office("discard", of).await;
            }
            self.rest(Duration::from_millis(500), Duration::from_millis(1200))
                .await;
            if self.random.random_bool(0.7) {
                self.teacher();
            }
            // Whatever of the last few has been refused by now.
            for of in n.saturating_sub(3)..=n {
                self.office("retry", of).await;
            }
            // Most events come when what the teacher entered must be known.
            if self.random.random_bool(0.7) {
                let long = slack + Duration::from_millis(500);
                self.rest(slack, long).await;
            }
        }
    }

    async fn rest(&mut self, least: Duration, most: Duration) {
        tokio::time::sleep(self.random.random_range(least..most)).await;
    }

    fn count(&self, count: impl FnOnce(&mut Disputes)) {
        count(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A teacher enters a code or clears the mark, if the pupil has a lesson that bears it.
    fn teacher(&mut self) {
        let codes = [Some("/"), Some("M"), Some("M"), Some("I"), Some("N"), None];
        let mark = TeacherMark {
            student_id: self.pupil.clone(),
            date: Some(school_day()),
            session: Some("AM".to_owned()),
            code: codes.choose(&mut self.random).unwrap().map(str::to_owned),
            ..TeacherMark::default()
        };
        let entered = self.env.sandbox.set_mark(&self.school, &mark).is_ok();
        self.count(|all| all.edits += usize::from(entered));
    }

    async fn event(&mut self, n: usize) {
        let kinds = [
            ("sign_in", None),
            // What may be written over by the next.
            ("sign_in", Some("I - Ill")),
            ("sign_in", Some("I - Ill")),
            ("sign_in", Some("M - Medical appointment")),
            ("sign_out", Some("M - Dentist")),
        ];
        let (kind, answer) = *kinds.choose(&mut self.random).unwrap();
        let minutes = 65 + n;
        let happening = Happening {
            kind,
            time: format!("{:02}:{:02}:00", 8 + minutes / 60, minutes % 60),
            answer,
        };
        let event = happening.event(&self.id(n), &self.pupil, at);
        self.client
            .hand_in(&self.school, &[event], &mut self.random)
            .await;
        self.count(|all| all.events += 1);
    }

    /// The office does something about an event, if it may be done now.
    async fn office(&mut self, deed: &str, n: usize) {
        let path = format!("{}/events/{}/{deed}", self.school, self.id(n));
        let done = self.client.try_post(&path, &mut self.random).await;
        self.count(|all| match deed {
            "discard" => all.discarded += usize::from(done),
            _ => all.retried += usize::from(done),
        });
    }

    fn id(&self, event: usize) -> String {
        id(self.n, event)
    }
}

/// Refusals at the school where everything is disputed, so that the office has something to try again.
pub(crate) fn refusals(env: &Env, seed: u64) -> [FaultRule; 2] {
    let school = env.school(usize::try_from(SCHOOLS).unwrap());
    let invalid = Fault::Status {
        status: 422,
        retry_after: RetryAfter::None,
    };
    let refused = Fault::RejectWriteback { message: None };
    [(invalid, 0.5), (refused, 0.3)].map(|(fault, share)| {
        let rule = FaultRule::new(fault).method("POST").school(&school);
        rule.by_chance(share, seed ^ 0x0ff1_ce00)
    })
}

/// How many events wait for hours for Wonde's word on a mark, theirs or another, that a teacher wrote over before it was read
/// back.
pub(crate) async fn waiting_for_a_word(env: &Env, store: &Store) -> u64 {
    let mut waiting = 0;
    for (n, (school, _)) in env.disputed().iter().enumerate() {
        let school = school.as_str().into();
        for of in 0..EVENTS_MAX {
            let Some(event) = store.event(&school, &id(n, of)).await.unwrap() else {
                break;
            };
            let for_another = event
                .waiting
                .is_some_and(|why| why.contains("is not confirmed yet"));
            waiting += u64::from(event.state == EventState::Accepted || for_another);
        }
    }
    waiting
}

fn id(pupil: usize, event: usize) -> String {
    format!("disputed-{pupil}-{event}")
}

/// The protected codes of teachers that Wonde had shown and that were written over all the same. One that says the same as
/// a sign-out's mark of ours of which nobody knew yet that it had landed does not count: the two cannot be told apart.
pub(crate) async fn overwritten(env: &Env, store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    for school in env.sandbox.schools() {
        for mark in env.sandbox.mark_history(&school.id).unwrap() {
            for pair in mark.versions.windows(2) {
                let (before, after) = (&pair[0], &pair[1]);
                let protected = before
                    .code
                    .as_deref()
                    .is_some_and(|code| PROTECTED.contains(&code));
                let by_teacher = before.accepted_at.is_none();
                if let (true, true, Some(shown), Some(accepted)) =
                    (protected, by_teacher, before.shown_at, after.accepted_at)
                    && accepted > shown + SLACK
                    && !was_on_its_way(store, &school.id, &mark.student_id, before).await
                {
                    found.push(format!("{} {before:?} by {after:?}", mark.student_id));
                }
            }
        }
    }
    found
}

/// Whether a sign-out's mark with the teacher's code had been taken by Wonde and not been confirmed when the teacher
/// entered it.
async fn was_on_its_way(store: &Store, school: &str, pupil: &str, entered: &MarkVersion) -> bool {
    let filter = EventFilter {
        school: Some(school.into()),
        person: Some(pupil.to_owned()),
        limit: 1_000,
        ..EventFilter::default()
    };
    for event in store.search(&filter).await.unwrap() {
        let school = event.school.as_str().into();
        let record = store.event(&school, &event.id).await.unwrap().unwrap();
        let when = |what| {
            let line = record.history.iter().rfind(|line| {
                line.what == what
                    && line.record["cause"] == "sign_out"
                    && line.record["code"].as_str() == entered.code.as_deref()
            });
            line.and_then(|line| line.at)
        };
        let sent = when("accepted").is_some_and(|at| at <= entered.changed_at + SLACK);
        let open = when("confirmed").is_none_or(|at| at >= entered.changed_at);
        if sent && open {
            return true;
        }
    }
    false
}
