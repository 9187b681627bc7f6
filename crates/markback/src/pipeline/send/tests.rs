//! What is known when the lease ends in the middle of a register.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use outbox::{ClaimRequest, ClaimedJob, TestClock};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{Change, Fault, FaultRule, Sandbox, SandboxOptions};

use crate::{
    lease::WriteLease,
    queues,
    service::{EventState, Markback, Options},
    settings,
};

const GROUPS: &str = r#"
[[school.group]]
name = "Pupils"
kind = "students"
[school.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00", unauthorised = "09:20" }
pm = { late = "13:00", unauthorised = "13:15" }
"#;

struct Bench {
    sandbox: Sandbox,
    markback: Markback,
    school: String,
    _folder: TempDir,
}

impl Bench {
    /// A service without workers that knows the school's people.
    async fn new() -> Self {
        let clock = Arc::new(TestClock::at("2026-11-23T09:30:00Z".parse().unwrap()));
        let time = clock.clone();
        let sandbox = Sandbox::start(SandboxOptions {
            schools: 1,
            pupils_per_school: 20,
            history_days: 0,
            clock: Arc::new(move || outbox::Clock::now(&*time)),
            ..SandboxOptions::default()
        })
        .await
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), sandbox.token()).unwrap();
        let school = sandbox.schools().remove(0).id;
        let toml = format!(
            "store = 'sqlite::memory:'\nwonde_url = '{}'\nrate_per_minute = 60000\n\
             [[school]]\nid = '{school}'\ntimezone = 'Europe/London'\ntoken_file = '{}'\n{GROUPS}",
            sandbox.base_url(),
            folder.path().join("token").display(),
        );
        let settings = settings::from_text(Path::new("markback.toml"), &toml).unwrap();
        let options = Options {
            clock,
            ..Options::default()
        };
        let markback = Markback::open(settings.settings, options).await.unwrap();
        let bench = Self {
            sandbox,
            markback,
            school,
            _folder: folder,
        };
        bench.read_people().await;
        bench
    }

    async fn read_people(&self) {
        let stop = CancellationToken::new();
        let (rosters, told) = (self.markback.sync().clone(), stop.clone());
        let workers = tokio::spawn(async move { rosters.run(told).await });
        let school = self.school.as_str().into();
        while self.markback.people().of(&school).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        workers.await.unwrap();
    }

    fn pupils(&self) -> Vec<String> {
        let students = self.sandbox.students(&self.school).unwrap();
        let here = students
            .into_iter()
            .filter(|one| one.on_roll && one.leaving.is_none());
        here.map(|one| one.id).collect()
    }

    async fn claim(&self, queue: &str) -> Vec<ClaimedJob> {
        let request = ClaimRequest::mixed(100, Duration::from_secs(60));
        self.markback.outbox().claim(queue, &request).await.unwrap()
    }

    async fn state(&self, id: &str) -> EventState {
        let school = self.school.as_str().into();
        self.markback
            .event(&school, id)
            .await
            .unwrap()
            .unwrap()
            .state
    }

    fn posts(&self) -> u64 {
        let counts = self.sandbox.requests();
        let posts = counts.by_kind.get("POST attendance/session");
        posts.copied().unwrap_or_default()
    }
}

#[tokio::test]
async fn what_was_answered_before_the_lease_ended_is_noted() {
    let bench = Bench::new().await;
    let pupils = bench.pupils();
    let events = (0..4).map(|n| {
        json!({"id": format!("e{n}"), "person": pupils[n], "kind": "sign_in", "at": "2026-11-23T09:07:00Z"})
    });
    let school = bench.school.as_str().into();
    bench
        .markback
        .intake(&school, events.collect())
        .await
        .unwrap();
    let workers = &bench.markback.workers;
    let decide = bench.claim(queues::DECIDE).await;
    let progress = workers.liveness.batch(queues::DECIDE);
    workers.decider.decide(decide, &progress).await.unwrap();

    // One has left since: the register is refused, and its halves are sent.
    let gone = Change::Remove {
        student: pupils[3].clone(),
    };
    bench.sandbox.change(&bench.school, &gone).unwrap();
    let slow = Fault::Slow {
        millis: 1_500,
        after: true,
    };
    let rule = FaultRule::new(slow).on("attendance/session").method("POST");
    bench.sandbox.add_fault(rule).unwrap();
    let lease = Arc::new(WriteLease::new(Instant::now(), Duration::from_secs(600)));
    let jobs = bench.claim(queues::SEND).await;
    assert_eq!(jobs.len(), 4);
    let send = async {
        workers.sender.send(jobs, &lease, &progress).await.unwrap();
    };
    let end = async {
        while bench.posts() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // While the first half is on its way, as after a freeze of the process.
        lease.renewed(Instant::now(), Duration::ZERO);
    };
    tokio::join!(send, end);
    assert_eq!(bench.posts(), 2, "nothing goes out after the end");
    for n in [0, 1] {
        assert_eq!(bench.state(&format!("e{n}")).await, EventState::Accepted);
    }
    for n in [2, 3] {
        assert_eq!(bench.state(&format!("e{n}")).await, EventState::Planned);
    }
    assert_eq!(bench.claim(queues::CONFIRM).await.len(), 0, "not yet due");
    let stats = bench.markback.outbox().stats().await.unwrap();
    assert_eq!(
        (stats[queues::CONFIRM].later, stats[queues::SEND].leased),
        (1, 2)
    );
}
