//! Bells.

use std::time::{Duration, Instant};

use outbox::{Engine, PauseUntil, RetryAt};

use crate::support::*;

/// Longer than any test runs: who waits this long was not woken.
const LONG: Duration = Duration::from_secs(60);
/// Enough to see that nobody rings.
const SHORT: Duration = Duration::from_millis(30);

/// Waits until the store's ear for other nodes is open. When it opens, on PostgreSQL, every wakeup is rung once, for nobody knows what
/// was said before: after that a wakeup rings for a cause alone.
async fn ear_open(s: &Store) {
    if s.db.engine() == Engine::Sqlite {
        return;
    }
    let mut wakeup = s.outbox.wakeup("ear");
    let other = s.another_node().await;
    let mut n = 0;
    while !wakeup.wait(SHORT).await {
        n += 1;
        assert!(n < 1000, "nobody listens");
        let mut job = job(&format!("ear {n}"));
        job.queue = "ear".into();
        other.enqueue(&[job]).await;
    }
    other.db.close().await;
}

both! {
    async fn a_commit_rings_and_a_rollback_does_not(s: &Store) {
        ear_open(s).await;
        let mut wakeup = s.outbox.wakeup("q");
        let mut tx = s.begin().await;
        s.outbox.enqueue(&mut tx, &[job("a")]).await.unwrap();
        assert!(!wakeup.wait(SHORT).await);
        tx.rollback().await.unwrap();
        assert!(!wakeup.wait(SHORT).await);
        s.enqueue(&[job("a")]).await;
        // It was rung before the wait, and is not missed.
        assert!(wakeup.wait(LONG).await);
        assert!(!wakeup.wait(SHORT).await);
        // Nothing new, nothing rung.
        s.enqueue(&[job("a")]).await;
        assert!(!wakeup.wait(SHORT).await);
    }

    async fn all_who_wait_are_woken(s: &Store) {
        ear_open(s).await;
        let waiting: Vec<_> = (0..5).map(|_| {
            let mut wakeup = s.outbox.wakeup("q");
            tokio::spawn(async move { wakeup.wait(LONG).await })
        }).collect();
        let mut other = s.outbox.wakeup("other");
        s.enqueue(&[job("a")]).await;
        for woken in waiting {
            assert!(woken.await.unwrap());
        }
        assert!(!other.wait(SHORT).await);
    }

    async fn whatever_makes_something_claimable_rings(s: &Store) {
        ear_open(s).await;
        s.enqueue(&[lined("a", "l"), lined("b", "l"), job("alone").partition("p")]).await;
        let mut wakeup = s.outbox.wakeup("q");
        let jobs = s.claim(5).await;
        let (a, alone) = (jobs[0].lease, jobs[1].lease);
        in_tx!(s, tx => s.outbox.release(&mut tx, &[a])).all().unwrap();
        assert!(wakeup.wait(LONG).await, "release");
        let a = s.claim(1).await;
        s.complete(&a).await.all().unwrap();
        assert!(wakeup.wait(LONG).await, "the next in line");
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &[alone], "")).all().unwrap();
        assert!(!wakeup.wait(SHORT).await, "nobody is behind it");
        in_tx!(s, tx => s.outbox.retry_dead(&mut tx, &[alone.id])).is_empty();
        assert!(wakeup.wait(LONG).await, "opened again");
        in_tx!(s, tx => s.outbox.pause(&mut tx, "p", PauseUntil::For(LONG), ""));
        s.claim(5).await;
        in_tx!(s, tx => s.outbox.resume(&mut tx, "p"));
        assert!(wakeup.wait(LONG).await, "resumed");
        let jobs = held(&s.claim(5).await);
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs, RetryAt::After(LONG), "")).all().unwrap();
        assert!(!wakeup.wait(SHORT).await, "later");
        in_tx!(s, tx => s.outbox.run_now(&mut tx, "q", &["alone"]));
        assert!(wakeup.wait(LONG).await, "hastened");
    }

    async fn a_wait_ends_when_nothing_happens_and_when_the_store_is_closed(s: &Store) {
        ear_open(s).await;
        let began = Instant::now();
        assert!(!s.outbox.wait("q", SHORT).await);
        assert!(began.elapsed() >= SHORT);
        let mut wakeup = s.outbox.wakeup("q");
        s.db.close().await;
        assert!(!wakeup.wait(SHORT).await);
    }
}

/// Another node is told, though nothing but the server is between the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_nodes_are_woken() {
    let Some(here) = Store::postgres().await else {
        return;
    };
    let there = here.another_node().await;
    let mut wakeup = there.outbox.wakeup("q");
    // The listener is at work once a first ring came through; until then each ring may be too early.
    let mut n = 0;
    while !wakeup.wait(SHORT).await {
        n += 1;
        assert!(n < 1000, "nobody listens");
        here.enqueue(&[job(&format!("first {n}"))]).await;
    }
    while wakeup.wait(10 * SHORT).await {}
    here.enqueue(&[job("a")]).await;
    assert!(wakeup.wait(LONG).await);
}
