//! A database that cannot be written: intake returns 503, and accepted events are not lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use markback_lab::harness::KEY;
use markback_tests::torture::{Env, Morning, Node, Plan, StoreKind};
use outbox::Database;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule};

const PROGRAM: &str = env!("CARGO_BIN_EXE_markback-under-test");
/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// An environment without faults, and a client.
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
            duration: Duration::ZERO,
            rate: 1,
            kills: false,
            freezes: false,
            restarts: false,
            faults: 0.0,
        };
        let morning = Morning::of(plan.seed, plan.duration, plan.rate);
        let env = Env::new(&plan, &morning, None).await;
        let school = env.school(0).to_string();
        let pupil = env.pupil(0, 0);
        Self {
            env,
            http: Client::builder().no_proxy().build().unwrap(),
            school,
            pupil,
        }
    }

    /// Posts one event with an answer of this length, and returns the status.
    async fn deliver(&self, node: &Node, id: &str, filling: usize) -> StatusCode {
        let at = markback_tests::at("09:07:00");
        let mut event = json!({"id": id, "person": self.pupil, "kind": "sign_in", "at": at});
        if filling > 0 {
            // The answer is not validated before the people are known.
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
        let store = self.env.store().await;
        store
            .event(&self.school.as_str().into(), id)
            .await
            .unwrap()
            .is_some()
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
            assert!(Instant::now() < end, "the events do not become final");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn intake_returns_503_while_another_program_locks_the_database() {
    let scene = Scene::set().await;
    let node = scene.start().await;
    assert_eq!(
        scene.deliver(&node, "before", 0).await,
        StatusCode::ACCEPTED
    );

    let other = Database::open(scene.env.store_url()).await.unwrap();
    let held = other.begin().await.unwrap();
    assert_eq!(
        scene.deliver(&node, "meanwhile", 0).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    held.rollback().await.unwrap();

    assert_eq!(scene.deliver(&node, "after", 0).await, StatusCode::ACCEPTED);
    scene.settles().await;
    assert!(scene.knows("before").await && scene.knows("after").await);
    assert!(!scene.knows("meanwhile").await, "it was rejected");
    // The rejected event is accepted when it is posted again.
    assert_eq!(
        scene.deliver(&node, "meanwhile", 0).await,
        StatusCode::ACCEPTED
    );
    scene.settles().await;
}

/// The program's files cannot grow, as on a full disk.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn intake_returns_503_on_a_full_disk_and_loses_nothing() {
    let scene = Scene::set().await;
    // While the sandbox does not respond, only intake works: no people are read and no marks are written.
    let rule = FaultRule::new(Fault::CutBefore);
    scene.env.sandbox.add_fault(rule).unwrap();
    // The tables are created before the disk is full.
    scene.start().await.end();
    let mut node = Node::new(PROGRAM);
    narrow(&mut node, &scene.env).await;
    assert!(node.address().is_some(), "it starts while there is space");
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for n in 0..200 {
        let id = format!("e{n}");
        match scene.deliver(&node, &id, 100_000).await {
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
    // The service is still running.
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

    // There is space again.
    scene.env.sandbox.clear_faults();
    let node = scene.start().await;
    for id in &taken {
        assert!(scene.knows(id).await, "{id} was accepted");
    }
    for id in &refused {
        assert!(!scene.knows(id).await, "{id} was rejected");
    }
    assert_eq!(scene.deliver(&node, "after", 0).await, StatusCode::ACCEPTED);
    scene.settles().await;
}

/// Starts the program with a limit of 4 MiB per file. Exceeding it is an error but does not end the program.
#[cfg(target_os = "linux")]
async fn narrow(node: &mut Node, env: &Env) {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"",
        PROGRAM,
    ]);
    let log = Path::new("/dev/null");
    node.try_start(command, &env.settings_path(), log).await;
}
