//! Wake-ups.

use std::time::{Duration, Instant};

use outbox::{Engine, PauseUntil, RetryAt};

use crate::support::*;

/// Longer than any test runs: who waits this long was not woken.
const LONG: Duration = Duration::from_secs(60);
/// Long enough to see that there is no wake-up.
const SHORT: Duration = Duration::from_millis(30);

/// Waits until the database listens to other nodes. At that time, on PostgreSQL, all workers are woken once, because earlier
/// notifications were lost.
async fn listening(s: &Store) {
    if s.db.engine() == Engine::Sqlite {
        return;
    }
    let mut wakeup = s.outbox.wakeup("ear");
    let other = s.another_node().await;
    let mut n = 0;
    while !wakeup.wait(SHORT).await {
        n += 1;
        assert!(n < 1000, "the node does not listen");
        let mut job = job(&format!("ear {n}"));
        job.queue = "ear".into();
        other.enqueue(&[job]).await;
    }
    other.db.close().await;
}

both! {
    async fn a_commit_wakes_workers_and_a_rollback_does_not(s: &Store) {
        listening(s).await;
        let mut wakeup = s.outbox.wakeup("q");
        let mut tx = s.begin().await;
        s.outbox.enqueue(&mut tx, &[job("a")]).await.unwrap();
        assert!(!wakeup.wait(SHORT).await);
        tx.rollback().await.unwrap();
        assert!(!wakeup.wait(SHORT).await);
        s.enqueue(&[job("a")]).await;
        // A wake-up before the wait is not missed.
        assert!(wakeup.wait(LONG).await);
        assert!(!wakeup.wait(SHORT).await);
        // Nothing new, no wake-up.
        s.enqueue(&[job("a")]).await;
        assert!(!wakeup.wait(SHORT).await);
    }

    async fn all_waiting_workers_are_woken(s: &Store) {
        listening(s).await;
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

    async fn every_change_that_makes_a_job_claimable_wakes_workers(s: &Store) {
        listening(s).await;
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
        assert!(wakeup.wait(LONG).await, "run now");
    }

    async fn a_wait_ends_after_its_maximum_and_when_the_database_is_closed(s: &Store) {
        listening(s).await;
        let began = Instant::now();
        assert!(!s.outbox.wait("q", SHORT).await);
        assert!(began.elapsed() >= SHORT);
        let mut wakeup = s.outbox.wakeup("q");
        s.db.close().await;
        assert!(!wakeup.wait(SHORT).await);
    }
}

/// Another node is woken through the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_nodes_are_woken() {
    let Some(here) = Store::postgres().await else {
        return;
    };
    let there = here.another_node().await;
    let mut wakeup = there.outbox.wakeup("q");
    // The listener works once a first wake-up arrives; earlier ones may be lost.
    let mut n = 0;
    while !wakeup.wait(SHORT).await {
        n += 1;
        assert!(n < 1000, "the node does not listen");
        here.enqueue(&[job(&format!("first {n}"))]).await;
    }
    while wakeup.wait(10 * SHORT).await {}
    here.enqueue(&[job("a")]).await;
    assert!(wakeup.wait(LONG).await);
}
