//! A school's morning with every outcome, for tests and for looking at pages.

use std::time::Duration;

use markback::service::EventState;
use markback_lab::harness::{ApiEnv, Setup, monday, quick_sandbox};
use serde_json::{Value, json};
use wonde_sandbox::SandboxOptions;

/// A service for a school with so many pupils, whose people are known.
pub(crate) async fn school(pupils: u32, setup: Setup) -> ApiEnv {
    let mut world = ApiEnv::with(Setup {
        sandbox: SandboxOptions {
            schools: 1,
            pupils_per_school: pupils,
            ..quick_sandbox()
        },
        ..setup
    })
    .await;
    world.run();
    world.known().await;
    world.register_read().await;
    world
}

/// When the `n`-th of `all` pupils arrives, in seconds after 08:20: most shortly before nine, some late, a few very late.
fn arrival(n: usize, all: usize) -> usize {
    let share = n * 1_000 / all.max(1);
    let minutes_10 = match share {
        0..100 => share * 2,
        100..800 => 200 + (share - 100) / 4,
        800..920 => 375 + (share - 800) / 2,
        _ => 435 + (share - 920) * 5,
    };
    // Spread within the minute, the same in each run.
    minutes_10 * 6 + (n * 37) % 53
}

/// The sign-ins of a morning and some sign-outs.
pub(crate) fn events(world: &ApiEnv) -> Vec<Value> {
    let all = world.pupils.len();
    let mut events = Vec::new();
    for (n, pupil) in world.pupils.iter().enumerate() {
        let at = monday("08:20") + Duration::from_secs(arrival(n, all) as u64);
        let mut event =
            json!({ "id": format!("in-{n}"), "person": pupil.id, "kind": "sign_in", "at": at });
        if n % 3 == 0 {
            event["answers"] = json!({ "Why?": "Bus" });
        }
        if n % 41 == 40 {
            event["answers"] = json!({ "Why?": "M - Medical appointment" });
        }
        events.push(event);
        if n % 23 == 11 {
            let at = monday("10:20") + Duration::from_secs((n * 13 % 4_000) as u64);
            events.push(json!({ "id": format!("out-{n}"), "person": pupil.id, "kind": "sign_out", "at": at }));
        }
    }
    events
}

/// Sends events as they happen, the clock with them, and waits until each has been decided.
pub(crate) async fn happen(world: &ApiEnv, mut events: Vec<Value>) {
    events.sort_by_key(|event| event["at"].as_str().map(str::to_owned));
    let last = events
        .last()
        .map_or("in-0", |event| event["id"].as_str().unwrap())
        .to_owned();
    for part in events.chunks(500) {
        world.take(part.to_vec()).await;
    }
    world
        .wait_until(
            "all events are decided",
            Duration::from_secs(1),
            async || {
                let tally = world.markback.tally().await.unwrap();
                let open = |state| tally.get(&(world.id(), state)).copied().unwrap_or(0);
                open(EventState::Received) + open(EventState::Planned) + open(EventState::Sent) == 0
            },
        )
        .await;
    let _ = last;
}
