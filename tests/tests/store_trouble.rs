//! A store that takes nothing in: intake says so with 503, and what it had accepted is there afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use markback_tests::torture::{Env, KEY, Morning, Node, Plan, StoreKind};
use outbox::Database;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_markback-under-test");
/// How long something that must come is waited for; nobody waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(120);

/// An environment without any torture in it, and what is needed to bring events.
struct Scene {
    env: Arc<Env>,
    http: Client,
    school: String,
    pupil: String,
}

impl Scene {
    async fn set() -> Self {
        let plan = Plan {
            program: PROGRAM.to_owned(),
            seed: 1,
            store: StoreKind::Sqlite,
            nodes: 1,
            lasts: Duration::ZERO,
            rate: 1,
            kills: false,
            freezes: false,
            restarts: false,
            faults: 0.0,
        };
        let morning = Morning::of(plan.seed, plan.lasts, plan.rate);
        let env = Env::new(&plan, &morning, None).await;
        let school = env.school(0);
        let pupil = env.pupil(0, 0);
        Self {
            env,
            http: Client::builder().no_proxy().build().unwrap(),
            school,
            pupil,
        }
    }

    /// Brings one event, with an answer of this length. Answers the status.
    async fn bring(&self, node: &Node, id: &str, filling: usize) -> StatusCode {
        let at = markback_tests::at("09:07:00");
        let mut event = json!({"id": id, "person": self.pupil, "kind": "sign_in", "at": at});
        if filling > 0 {
            // Before the people are known nobody can say that this is no option.
            event["answers"] = json!({"Why?": "x".repeat(filling)});
        }
        let address = node.address().unwrap();
        let url = format!("{address}/v1/schools/{}/events", self.school);
        let sent = self
            .http
            .post(url)
            .bearer_auth(KEY)
            .body(Value::from(vec![event]).to_string());
        sent.send().await.unwrap().status()
    }

    async fn knows(&self, id: &str) -> bool {
        let school = self.school.as_str().into();
        let store = self.env.store().await;
        store.event(&school, id).await.unwrap().is_some()
    }

    async fn start(&self) -> Node {
        let mut node = Node::new(PROGRAM);
        node.start(&self.env).await;
        node
    }

    async fn settles(&self) {
        let store = self.env.store().await;
        let end = Instant::now() + PATIENCE;
        while store.open_events().await.unwrap() > 0 {
            assert!(Instant::now() < end, "the events do not come to their end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_program_holds_the_database_intake_answers_503() {
    let scene = Scene::set().await;
    let node = scene.start().await;
    assert_eq!(scene.bring(&node, "before", 0).await, StatusCode::ACCEPTED);

    let other = Database::open(scene.env.store_url()).await.unwrap();
    let held = other.begin().await.unwrap();
    assert_eq!(
        scene.bring(&node, "meanwhile", 0).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    held.rollback().await.unwrap();

    assert_eq!(scene.bring(&node, "after", 0).await, StatusCode::ACCEPTED);
    scene.settles().await;
    assert!(scene.knows("before").await && scene.knows("after").await);
    assert!(!scene.knows("meanwhile").await, "it was refused");
    // What was refused is taken when it is brought again.
    assert_eq!(
        scene.bring(&node, "meanwhile", 0).await,
        StatusCode::ACCEPTED
    );
    scene.settles().await;
}

/// The system lets the program's files grow no further, as a full disk would.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_intake_answers_503_and_loses_nothing() {
    let scene = Scene::set().await;
    // Nobody is read and nothing is written while the sandbox answers nobody: only intake is at work.
    let rule = FaultRule::new(Fault::CutBefore);
    scene.env.sandbox.add_fault(rule).unwrap();
    // The tables are made before the disk is full.
    scene.start().await.end();
    let mut node = Node::new(PROGRAM);
    narrow(&mut node, &scene.env).await;
    assert!(
        node.address().is_some(),
        "it starts as long as there is room"
    );
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for n in 0..200 {
        let id = format!("e{n}");
        match scene.bring(&node, &id, 100_000).await {
            StatusCode::ACCEPTED => taken.push(id),
            StatusCode::SERVICE_UNAVAILABLE => refused.push(id),
            other => panic!("{other}"),
        }
        if refused.len() > 3 {
            break;
        }
    }
    assert!(
        !taken.is_empty() && !refused.is_empty(),
        "{taken:?} {refused:?}"
    );
    // It lives, and says what is there.
    let health = format!("{}/healthz", node.address().unwrap());
    assert!(
        scene
            .http
            .get(health)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    node.end();

    // Room has been made.
    scene.env.sandbox.clear_faults();
    let node = scene.start().await;
    for id in &taken {
        assert!(scene.knows(id).await, "{id} was accepted");
    }
    for id in &refused {
        assert!(!scene.knows(id).await, "{id} was refused");
    }
    assert_eq!(scene.bring(&node, "after", 0).await, StatusCode::ACCEPTED);
    scene.settles().await;
}

/// Starts the program with files of 4 MiB at most. A file that would grow beyond is an error to it, not its end.
#[cfg(target_os = "linux")]
async fn narrow(node: &mut Node, env: &Env) {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"",
        PROGRAM,
    ]);
    let log = Path::new("/dev/null");
    node.try_start(command, &env.settings(), log).await;
}
