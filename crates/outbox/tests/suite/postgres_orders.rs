//! The orders that only PostgreSQL can get wrong: several transactions open at once, which see each other late.
//!
//! Where one must wait for another, the test waits until the server says that it does, and not for a time.

use std::future::Future;
use std::time::Duration;

use outbox::{ClaimRequest, Enqueued, JobState, PauseUntil, Tx, on_pool};
use tokio::task::JoinHandle;

use crate::support::*;

/// Returns once `n` backends wait for a lock.
async fn until_waiting(s: &Store, n: i64) {
    for _ in 0..5000 {
        let waiting: i64 = on_pool!(s.db, pool => {
            sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
                .fetch_one(pool).await
        })
        .unwrap();
        if waiting >= n {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("nobody waits");
}

/// Starts `call` in a transaction of its own, which is handed back uncommitted.
fn start<T, F, Fut>(s: &Store, call: F) -> JoinHandle<(Tx, T)>
where
    T: Send + 'static,
    F: FnOnce(outbox::Outbox, Tx) -> Fut + Send + 'static,
    Fut: Future<Output = (Tx, T)> + Send,
{
    let (db, outbox) = (s.db.clone(), s.outbox.clone());
    tokio::spawn(async move {
        let tx = db.begin().await.unwrap();
        call(outbox, tx).await
    })
}

fn start_enqueue(s: &Store, job: outbox::NewJob) -> JoinHandle<(Tx, outbox::EnqueueReceipt)> {
    start(s, |outbox, mut tx| async move {
        let receipt = outbox.enqueue(&mut tx, &[job]).await.unwrap();
        (tx, receipt)
    })
}

/// Tests of PostgreSQL alone.
macro_rules! postgres {
    ($(async fn $name:ident($store:ident: &Store) $body:block)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            async fn run($store: &Store) $body
            if let Some(store) = Store::postgres().await {
                run(&store).await;
            }
        }
    )*};
}

postgres! {
    async fn jobs_of_an_order_key_commit_in_the_order_of_their_ids(s: &Store) {
        let mut first = s.begin().await;
        let low = s.outbox.enqueue(&mut first, &[lined("first", "l")]).await.unwrap().jobs[0].id();
        let second = start_enqueue(s, lined("second", "l"));
        // Without the lock the second would be committed, seen and claimed before the first.
        until_waiting(s, 1).await;
        assert!(!second.is_finished());
        assert!(s.claim_keys().await.is_empty());
        first.commit().await.unwrap();
        let (second, receipt) = second.await.unwrap();
        second.commit().await.unwrap();
        assert!(receipt.jobs[0].id() > low);
        assert_eq!(s.claim_keys().await, ["first"]);
    }

    async fn a_rollback_releases_the_order_key(s: &Store) {
        let mut first = s.begin().await;
        s.outbox.enqueue(&mut first, &[lined("first", "l")]).await.unwrap();
        let second = start_enqueue(s, lined("second", "l"));
        until_waiting(s, 1).await;
        drop(first);
        let (second, _) = second.await.unwrap();
        second.commit().await.unwrap();
        assert_eq!(s.claim_keys().await, ["second"]);
    }

    async fn other_order_keys_and_queues_do_not_wait(s: &Store) {
        let mut first = s.begin().await;
        s.outbox.enqueue(&mut first, &[lined("first", "l")]).await.unwrap();
        // Two lines may share one of the 256 locks: of two other lines, one at least does not wait.
        let one = start_enqueue(s, lined("k1", "line 1"));
        let two = start_enqueue(s, lined("k2", "line 2"));
        let (free, _) = tokio::select! { done = one => done.unwrap(), done = two => done.unwrap() };
        free.commit().await.unwrap();
        let mut other = s.begin().await;
        let job = outbox::NewJob::new("other queue", "first", serde_json::Value::Null).order_key("l");
        s.outbox.enqueue(&mut other, &[job]).await.unwrap();
        other.commit().await.unwrap();
        first.commit().await.unwrap();
    }

    async fn order_keys_with_one_prefix_share_a_lock(s: &Store) {
        let mut first = s.db.begin().await.unwrap();
        s.outbox.enqueue(&mut first, &[lined("first", "school/1")]).await.unwrap();
        let second = start_enqueue(s, lined("second", "school/2"));
        until_waiting(s, 1).await;
        first.commit().await.unwrap();
        second.await.unwrap().0.commit().await.unwrap();
        assert_eq!(s.claim_keys().await, ["first", "second"]);
    }

    async fn shards_are_disjoint_and_cover_all_partitions(s: &Store) {
        let jobs: Vec<_> = (0..40).map(|n| lined(&format!("k{n:02}"), &format!("line {n}")).partition(format!("partition {}", n % 8))).collect();
        s.enqueue(&jobs).await;
        let mut shards: Vec<std::collections::BTreeSet<String>> = Vec::new();
        let mut claimed = 0;
        for index in 0..3 {
            let request = ClaimRequest::mixed(100, LEASE).shard(outbox::Shard { count: 3, index });
            let jobs = s.outbox.claim("q", &request).await.unwrap();
            claimed += jobs.len();
            shards.push(jobs.into_iter().map(|job| job.partition).collect());
        }
        assert_eq!(claimed, 40);
        assert_eq!(shards.iter().map(std::collections::BTreeSet::len).sum::<usize>(), 8, "{shards:?}");
    }

    async fn concurrent_batches_of_many_order_keys_do_not_deadlock(s: &Store) {
        let forwards: Vec<_> = (0..300).map(|n| lined(&format!("f{n}"), &format!("line {n}"))).collect();
        let backwards: Vec<_> = (0..300).rev().map(|n| lined(&format!("b{n}"), &format!("line {n}"))).collect();
        for round in 0..10 {
            let mut tasks = Vec::new();
            for jobs in [&forwards, &backwards] {
                let jobs: Vec<_> = jobs.iter().cloned().map(|mut job| { job.key = format!("{round} {}", job.key); job }).collect();
                let (db, outbox) = (s.db.clone(), s.outbox.clone());
                tasks.push(tokio::spawn(async move {
                    let mut tx = db.begin().await.unwrap();
                    outbox.enqueue(&mut tx, &jobs).await.unwrap();
                    tx.commit().await.unwrap();
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        }
    }

    async fn the_first_of_two_transactions_with_the_same_key_wins(s: &Store) {
        for commits in [true, false] {
            let key = format!("{commits}");
            let mut first = s.begin().await;
            let id = s.outbox.enqueue(&mut first, &[job(&key)]).await.unwrap().jobs[0].id();
            let second = start_enqueue(s, job(&key));
            until_waiting(s, 1).await;
            if commits { first.commit().await.unwrap() } else { first.rollback().await.unwrap() }
            let (second, receipt) = second.await.unwrap();
            second.commit().await.unwrap();
            match receipt.jobs[0] {
                Enqueued::Duplicate(seen) => assert!(commits && seen == id),
                Enqueued::New(new) => assert!(!commits && new != id),
            }
        }
    }

    async fn the_next_job_of_an_order_key_waits_for_the_commit(s: &Store) {
        s.enqueue(&[lined("a", "l"), lined("b", "l")]).await;
        let a = s.claim(1).await;
        let mut tx = s.begin().await;
        s.outbox.complete(&mut tx, &held(&a)).await.unwrap().all().unwrap();
        assert!(s.claim_keys().await.is_empty());
        tx.rollback().await.unwrap();
        assert!(s.claim_keys().await.is_empty());
        s.complete(&a).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["b"]);
    }

    async fn a_lapsed_job_that_is_being_completed_is_not_claimed(s: &Store) {
        s.enqueue(&[job("a")]).await;
        let a = s.claim(1).await;
        s.clock.advance(LEASE);
        let mut tx = s.begin().await;
        s.outbox.complete(&mut tx, &held(&a)).await.unwrap().all().unwrap();
        // Claims do not wait for it either.
        assert!(s.claim_keys().await.is_empty());
        drop(tx);
        while s.claim_keys().await.is_empty() {}
    }

    async fn completing_a_job_that_is_being_claimed_again_loses_it(s: &Store) {
        s.enqueue(&[job("a")]).await;
        let slow = s.claim(1).await;
        s.clock.advance(LEASE);
        let mut claiming = s.begin().await;
        let quick = s.outbox.claim_in(&mut claiming, "q", &ClaimRequest::mixed(1, LEASE)).await.unwrap();
        assert_eq!(quick.len(), 1);
        let completing = {
            let held = held(&slow);
            start(s, |outbox, mut tx| async move {
                let settled = outbox.complete(&mut tx, &held).await.unwrap();
                (tx, settled)
            })
        };
        until_waiting(s, 1).await;
        claiming.commit().await.unwrap();
        let (tx, settled) = completing.await.unwrap();
        assert_eq!(settled.lost, [slow[0].id()]);
        tx.commit().await.unwrap();
        s.complete(&quick).await.all().unwrap();
    }

    async fn a_job_that_is_being_claimed_is_not_superseded(s: &Store) {
        s.enqueue(&[lined("old", "l").supersede_key("m")]).await;
        let mut claiming = s.begin().await;
        let old = s.outbox.claim_in(&mut claiming, "q", &ClaimRequest::mixed(1, LEASE)).await.unwrap();
        let newer = start_enqueue(s, lined("new", "l").supersede_key("m"));
        until_waiting(s, 1).await;
        claiming.commit().await.unwrap();
        let (tx, receipt) = newer.await.unwrap();
        assert!(receipt.superseded.is_empty());
        tx.commit().await.unwrap();
        assert!(s.claim_keys().await.is_empty());
        s.complete(&old).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["new"]);
    }

    async fn a_job_that_is_being_superseded_is_not_claimed(s: &Store) {
        s.enqueue(&[lined("old", "l").supersede_key("m")]).await;
        let mut tx = s.begin().await;
        let receipt = s.outbox.enqueue(&mut tx, &[lined("new", "l").supersede_key("m")]).await.unwrap();
        assert_eq!(receipt.superseded.len(), 1);
        assert!(s.claim_keys().await.is_empty());
        tx.commit().await.unwrap();
        assert_eq!(s.claim_keys().await, ["new"]);
    }

    async fn a_retried_dead_letter_goes_behind_a_job_that_is_being_enqueued(s: &Store) {
        s.enqueue(&[lined("dead", "l")]).await;
        let dead = held(&s.claim(1).await);
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &dead, "")).all().unwrap();
        let mut putting_in = s.begin().await;
        s.outbox.enqueue(&mut putting_in, &[lined("new", "l")]).await.unwrap();
        let opening = start(s, |outbox, mut tx| async move {
            let opened = outbox.retry_dead(&mut tx, &[dead[0].id]).await.unwrap();
            (tx, opened)
        });
        until_waiting(s, 1).await;
        putting_in.commit().await.unwrap();
        let (tx, opened) = opening.await.unwrap();
        assert_eq!(opened.len(), 1);
        tx.commit().await.unwrap();
        let new = s.claim(5).await;
        assert_eq!(keys(&new), ["new"]);
        s.complete(&new).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["dead"]);
    }

    async fn a_partition_resumed_while_its_jobs_are_being_deferred_continues(s: &Store) {
        s.enqueue(&[job("a").partition("a"), job("b").partition("b")]).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(1000 * MINUTE), ""));
        let mut claiming = s.begin().await;
        assert_eq!(s.outbox.claim_in(&mut claiming, "q", &ClaimRequest::mixed(5, LEASE)).await.unwrap().len(), 1);
        let resuming = start(s, |outbox, mut tx| async move {
            outbox.resume(&mut tx, "a").await.unwrap();
            (tx, ())
        });
        until_waiting(s, 1).await;
        claiming.commit().await.unwrap();
        let (tx, ()) = resuming.await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(s.claim_keys().await, ["a"]);
        assert!(s.outbox.pauses().await.unwrap().is_empty());
    }

    async fn a_partition_that_is_being_resumed_is_not_deferred(s: &Store) {
        s.enqueue(&[job("a").partition("a")]).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(1000 * MINUTE), ""));
        let mut resuming = s.begin().await;
        s.outbox.resume(&mut resuming, "a").await.unwrap();
        let claiming = start(s, |outbox, mut tx| async move {
            let claimed = outbox.claim_in(&mut tx, "q", &ClaimRequest::mixed(5, LEASE)).await.unwrap();
            (tx, claimed)
        });
        until_waiting(s, 1).await;
        resuming.commit().await.unwrap();
        let (tx, claimed) = claiming.await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(keys(&claimed), ["a"]);
        assert_eq!(s.outbox.find("q", "a").await.unwrap().unwrap().state, JobState::Leased);
    }

    async fn a_stricter_default_isolation_changes_nothing(s: &Store) {
        on_pool!(s.db, pool => {
            sqlx::query("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || \
                         ' SET default_transaction_isolation = serializable'; END $$")
                .execute(pool).await.map(drop)
        }).unwrap();
        let strict = s.another_node().await;
        let mut first = strict.begin().await;
        strict.outbox.enqueue(&mut first, &[lined("first", "l")]).await.unwrap();
        let second = start_enqueue(&strict, lined("second", "l").supersede_key("m"));
        until_waiting(s, 1).await;
        first.commit().await.unwrap();
        let (second, _) = second.await.unwrap();
        second.commit().await.unwrap();
        assert_eq!(strict.claim_keys().await, ["first"]);
    }
}
