//! Pupils whose marks are disputed: while their events are delivered, teachers edit the register and the office
//! discards and retries events. Their final marks cannot be predicted, so they are excluded from the comparison with
//! the run without faults. But no protected code that Wonde has shown may be overwritten.

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
    morning::{PlannedEvent, SCHOOLS},
};
use crate::world::{at, school_day};

/// The disputed pupils of each school.
pub(crate) const PUPILS: usize = 20;
/// The codes that the environment's settings protect.
const PROTECTED: [&str; 3] = ["/", "\\", "M"];
/// The time after which a code that Wonde has shown must not be overwritten. By the environment's settings, the
/// register of a decision may be a second old, and so may the decision; a frozen node holds each step for two seconds
/// at most; and a busy machine may need a second.
const SLACK: TimeDelta = TimeDelta::seconds(5);
/// The maximum number of events of one pupil: they are a minute apart, all in the morning.
const EVENTS_MAX: usize = 160;

/// How long disputes continue after the other events, so that a short run has some.
const LONGER: Duration = Duration::from_secs(8);

/// The number of each kind of action.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disputes {
    pub(crate) events: usize,
    pub(crate) edits: usize,
    pub(crate) discarded: usize,
    pub(crate) retried: usize,
}

/// Disputes marks until a little after the plan's end.
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
        let end = Instant::now() + self.plan.duration + LONGER;
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
            // Retry those of the last few events that were rejected.
            for of in n.saturating_sub(3)..=n {
                self.office("retry", of).await;
            }
            // Most events come when the teacher's edit must be known.
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

    /// A teacher enters a code or clears the mark, if the pupil has a lesson for it.
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
            // The next event may overwrite these.
            ("sign_in", Some("I - Ill")),
            ("sign_in", Some("I - Ill")),
            ("sign_in", Some("M - Medical appointment")),
            ("sign_out", Some("M - Dentist")),
        ];
        let (kind, answer) = *kinds.choose(&mut self.random).unwrap();
        let minutes = 65 + n;
        let event = PlannedEvent {
            kind,
            time: format!("{:02}:{:02}:00", 8 + minutes / 60, minutes % 60),
            answer,
        };
        let event = event.event(&self.id(n), &self.pupil, at);
        self.client
            .post_until_accepted(&self.school, &[event], &mut self.random)
            .await;
        self.count(|all| all.events += 1);
    }

    /// The office discards or retries an event, if that is possible at the moment.
    async fn office(&mut self, action: &str, n: usize) {
        let path = format!("{}/events/{}/{action}", self.school, self.id(n));
        let done = self.client.try_post(&path, &mut self.random).await;
        self.count(|all| match action {
            "discard" => all.discarded += usize::from(done),
            _ => all.retried += usize::from(done),
        });
    }

    fn id(&self, event: usize) -> String {
        id(self.n, event)
    }
}

/// Rejections at the school where everything is disputed, so that the office can retry events.
pub(crate) fn rejections(env: &Env, seed: u64) -> [FaultRule; 2] {
    let school = env.school(usize::try_from(SCHOOLS).unwrap()).to_string();
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

/// The number of events that wait for hours for the outcome of a mark, theirs or another's, because a teacher overwrote
/// it before it was read back.
pub(crate) async fn without_outcome(env: &Env, store: &Store) -> u64 {
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

/// The teachers' protected codes that Wonde had shown and that were overwritten. A code does not count if it equals
/// that of our own unconfirmed mark of a sign-out, because the two cannot be distinguished.
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
                    && !was_unconfirmed(store, &school.id, &mark.student_id, before).await
                {
                    found.push(format!("{} {before:?} by {after:?}", mark.student_id));
                }
            }
        }
    }
    found
}

/// Whether Wonde had accepted a sign-out's mark with the teacher's code that was not yet confirmed when the teacher
/// entered it.
async fn was_unconfirmed(store: &Store, school: &str, pupil: &str, entered: &MarkVersion) -> bool {
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
