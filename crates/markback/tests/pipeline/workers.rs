//! What workers do when something is wrong with themselves: a panic, a job that cannot be read, a lease that ends.

use std::time::{Duration, Instant};

use markback::{
    service::EventState::{Accepted, Confirmed, Failed, Planned, Received, Unconfirmed},
    store::SyncState,
    sync::SyncRequest,
};
use outbox::on_tx;
use wonde_sandbox::{Fault, FaultRule};

use crate::{
    panicking::{Guard, Panics, SECRET, registry},
    stage::{ARBOR, SIMS, Setup, Stage, answered, post, sign_in},
};

fn panicking() -> Setup {
    Setup {
        adapters: Some(registry()),
        ..Setup::default()
    }
}

/// Keeps the clock moving, for what waits by it, until all is settled.
async fn settle(stage: &Stage) {
    stage
        .until("every event has a final state", async || {
            stage.clock.advance(Duration::from_secs(5));
            stage.markback.is_settled().await.unwrap()
        })
        .await;
}

#[tokio::test]
async fn a_mark_that_makes_the_adapter_panic_is_given_up_and_the_others_go_through() {
    let panics = Guard::new().await;
    let stage = Stage::set(panicking()).await;
    let pupils: Vec<_> = (0..6).map(|n| stage.pupil(SIMS, n)).collect();
    panics.set(Panics {
        before_write: Some(pupils[2].clone()),
        ..Panics::default()
    });
    let events = (0..6)
        .map(|n| sign_in(&format!("e{n}"), &pupils[n], "09:07:00"))
        .collect();
    stage.take_all(SIMS, events).await;
    settle(&stage).await;
    for (n, pupil) in pupils.iter().enumerate() {
        let event = stage.event(SIMS, &format!("e{n}")).await;
        if n == 2 {
            let outcome = event.outcome.unwrap();
            assert_eq!(event.state, Failed, "{outcome}");
            assert!(
                outcome.contains("panicked 3 times while processing it"),
                "{outcome}"
            );
            assert!(!outcome.contains(SECRET), "{outcome}");
            assert_eq!(stage.code(SIMS, pupil, "AM"), None);
        } else {
            assert_eq!(event.state, Confirmed, "e{n}: {:?}", event.outcome);
            assert_eq!(stage.held(SIMS, pupil, "AM").unwrap().writes, 1);
        }
    }
    // The workers live, and the school is sent for again.
    panics.set(Panics::default());
    let more: Vec<_> = (6..30).map(|n| stage.pupil(SIMS, n)).collect();
    for (n, pupil) in more.iter().enumerate() {
        stage
            .take(SIMS, sign_in(&format!("f{n}"), pupil, "09:08:00"))
            .await;
    }
    settle(&stage).await;
    for n in 0..more.len() {
        assert_eq!(stage.state(SIMS, &format!("f{n}")).await, Confirmed);
    }
}

#[tokio::test]
async fn a_panic_after_the_request_is_looked_up_before_anything_is_repeated() {
    let panics = Guard::new().await;
    let stage = Stage::set(panicking()).await;
    let pupil = stage.pupil(SIMS, 0);
    panics.set(Panics {
        after_write: Some(pupil.clone()),
        ..Panics::default()
    });
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    settle(&stage).await;
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
}

#[tokio::test]
async fn a_panic_while_deciding_or_asking_passes_or_ends_the_event() {
    let panics = Guard::new().await;
    let stage = Stage::set(panicking()).await;
    let [passes, fails, lost] = [0, 1, 2].map(|n| stage.pupil(SIMS, n));
    panics.set(Panics {
        reads: 1,
        outcomes: 1,
        ..Panics::default()
    });
    stage
        .take(SIMS, sign_in("passes", &passes, "09:07:00"))
        .await;
    settle(&stage).await;
    assert_eq!(stage.state(SIMS, "passes").await, Confirmed);

    stage.clock.advance(Duration::from_secs(600));
    panics.set(Panics {
        reads: u32::MAX,
        ..Panics::default()
    });
    stage.take(SIMS, sign_in("fails", &fails, "09:07:00")).await;
    settle(&stage).await;
    assert_eq!(stage.state(SIMS, "fails").await, Failed);

    panics.set(Panics {
        outcomes: u32::MAX,
        ..Panics::default()
    });
    stage.take(SIMS, sign_in("lost", &lost, "09:07:00")).await;
    settle(&stage).await;
    let lost = stage.event(SIMS, "lost").await;
    let outcome = lost.outcome.unwrap();
    assert_eq!(lost.state, Unconfirmed, "{outcome}");
    assert!(
        outcome.contains("panicked") && !outcome.contains(SECRET),
        "{outcome}"
    );
}

#[tokio::test]
async fn a_panic_while_the_people_are_read_ends_neither_the_service_nor_the_sync() {
    let panics = Guard::new().await;
    panics.set(Panics {
        people: 2,
        ..Panics::default()
    });
    let mut stage = Stage::idle(panicking()).await;
    stage.work();
    let school = stage.school(SIMS).as_str().into();
    stage
        .until("the people are known", async || {
            stage.clock.advance(Duration::from_secs(5));
            let directory = stage.markback.people().of(&school).await.unwrap();
            directory.is_some()
        })
        .await;

    panics.set(Panics {
        people: u32::MAX,
        ..Panics::default()
    });
    let rosters = stage.markback.sync();
    let known = stage.markback.school(&school).unwrap();
    let id = rosters.ask(&known, SyncRequest::default()).await.unwrap();
    stage
        .until("the sync has failed", async || {
            stage.clock.advance(Duration::from_secs(5));
            let sync = stage.markback.store().sync(&school, &id).await.unwrap();
            sync.unwrap().state == SyncState::Failed
        })
        .await;
    let sync = stage.markback.store().sync(&school, &id).await.unwrap();
    let error = sync.unwrap().error.unwrap();
    assert!(
        error.contains("panicked 3 times while processing it") && !error.contains(SECRET),
        "{error}"
    );
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    settle(&stage).await;
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
}

/// Makes the jobs of a queue unreadable, as another version's might be.
async fn garble(stage: &Stage, queue: &str) {
    let mut tx = stage.markback.store().database().begin().await.unwrap();
    let changed: u64 = on_tx!(tx, conn => {
        sqlx::query("UPDATE outbox_jobs SET payload = '{\"of\": \"another version\"}' WHERE queue = $1 AND state = 0")
            .bind(queue)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    })
    .unwrap();
    tx.commit().await.unwrap();
    assert!(changed > 0, "no open job of {queue}");
}

#[tokio::test]
async fn an_event_whose_job_cannot_be_read_ends_all_the_same() {
    let mut stage = Stage::idle(Setup {
        service: "gather = { window = \"1h\", max = 200 }",
        ..Setup::default()
    })
    .await;
    let pupils: Vec<_> = (0..3).map(|n| stage.pupil(SIMS, n)).collect();
    stage
        .take(SIMS, sign_in("d1", &pupils[0], "09:07:00"))
        .await;
    garble(&stage, "decide").await;
    stage.work();
    stage.reaches(SIMS, "d1", Failed).await;

    // A mark that waits for others, because one went just before; with a code that is protected.
    let first = stage.pupil(SIMS, 3);
    stage.take(SIMS, sign_in("s0", &first, "09:07:00")).await;
    stage.reaches(SIMS, "s0", Accepted).await;
    let medical = answered("s1", &pupils[1], "09:07:00", "M - Medical appointment");
    stage.take(SIMS, medical).await;
    stage.reaches(SIMS, "s1", Planned).await;
    garble(&stage, "send").await;
    stage.clock.advance(Duration::from_secs(3700));
    stage.reaches(SIMS, "s1", Failed).await;
    // Nothing is left of the plan: the next event is decided as if it had not been.
    stage
        .take(SIMS, sign_in("s2", &pupils[1], "09:25:00"))
        .await;
    stage.reaches(SIMS, "s2", Planned).await;
    stage.clock.advance(Duration::from_secs(3700));
    stage.reaches(SIMS, "s2", Confirmed).await;
    assert_eq!(stage.code(SIMS, &pupils[1], "AM").as_deref(), Some("U"));
}

#[tokio::test]
async fn the_events_of_a_register_whose_writeback_cannot_be_read_end_all_the_same() {
    let stage = Stage::usual().await;
    let pupils: Vec<_> = (0..3).map(|n| stage.pupil(SIMS, n)).collect();
    stage
        .sandbox
        .add_fault(post(Fault::StuckWriteback))
        .unwrap();
    let events = (0..3)
        .map(|n| sign_in(&format!("e{n}"), &pupils[n], "09:07:00"))
        .collect();
    stage.take_all(SIMS, events).await;
    for n in 0..3 {
        stage.reaches(SIMS, &format!("e{n}"), Accepted).await;
    }
    garble(&stage, "confirm").await;
    settle(&stage).await;
    for n in 0..3 {
        let event = stage.event(SIMS, &format!("e{n}")).await;
        assert_eq!(event.state, Unconfirmed);
        assert!(event.outcome.unwrap().contains("cannot be read"));
    }
    // With the decision of a person the dead letter goes too.
    let dead = async || stage.markback.outbox().stats().await.unwrap()["confirm"].dead;
    assert_eq!(dead().await, 1);
    let actor = markback::operator::Actor::default();
    let school = stage.school(SIMS).as_str().into();
    markback::operator::discard(stage.markback.store(), &school, "e0", &actor)
        .await
        .unwrap();
    let stats = stage.markback.outbox().stats().await.unwrap();
    assert_eq!(stats.get("confirm").map_or(0, |stats| stats.dead), 0);
}

#[tokio::test]
async fn a_school_that_is_slow_to_tell_keeps_no_others_confirmations_waiting() {
    let setup = Setup {
        service: "gather = { window = \"0s\", max = 1 }",
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let stuck = Fault::Slow {
        millis: 600_000,
        after: false,
    };
    let mute = stage.school(SIMS);
    let rule = FaultRule::new(stuck).on("writebacks").school(&mute);
    stage.sandbox.add_fault(rule).unwrap();
    for n in 0..12 {
        let pupil = stage.pupil(SIMS, n);
        let id = format!("e{n}");
        stage.take(SIMS, sign_in(&id, &pupil, "09:07:00")).await;
        stage.reaches(SIMS, &id, Accepted).await;
    }
    stage
        .until("somebody waits for an answer", async || {
            stage.requests("GET writebacks") > 0
        })
        .await;
    let started = Instant::now();
    let pupil = stage.pupil(ARBOR, 0);
    stage.take(ARBOR, sign_in("x1", &pupil, "09:07:00")).await;
    stage.reaches(ARBOR, "x1", Confirmed).await;
    // The service itself waits for an answer for half a minute.
    assert!(
        started.elapsed() < Duration::from_secs(25),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn an_event_behind_another_says_which() {
    let stage = Stage::idle(Setup::default()).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.take(SIMS, sign_in("e2", &pupil, "09:25:00")).await;
    let first = stage.event(SIMS, "e1").await;
    assert_eq!((first.state, first.waiting), (Received, None));
    let second = stage.event(SIMS, "e2").await;
    assert_eq!(second.state, Received);
    let waiting = second.waiting.unwrap();
    assert!(waiting.ends_with("decided first: e1"), "{waiting}");
}
