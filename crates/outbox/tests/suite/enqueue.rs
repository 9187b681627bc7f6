//! Each key once, each line in order, the older superseded, the host's rows and the jobs together.

use outbox::{Enqueued, ErrorKind, JobState, KEY_MAX, NewJob, on_pool, on_tx};
use serde_json::{Value, json};

use crate::support::*;

both! {
    async fn a_key_is_unique_within_its_queue(s: &Store) {
        let first = s.enqueue(&[job("a"), job("b"), job("a")]).await.jobs;
        assert!(matches!(first[..], [Enqueued::New(_), Enqueued::New(_), Enqueued::Duplicate(_)]));
        assert_eq!(first[0].id(), first[2].id());

        let again = s.enqueue(&[job("b"), job("c"), NewJob::new("other", "b", Value::Null)]).await.jobs;
        assert_eq!(again[0], Enqueued::Duplicate(first[1].id()));
        assert!(matches!(again[1..], [Enqueued::New(_), Enqueued::New(_)]));
        assert_eq!(s.claim_keys().await, ["a", "b", "c"]);
    }

    async fn the_key_of_a_finished_job_is_still_a_duplicate(s: &Store) {
        let first = s.enqueue(&[job("a")]).await.jobs[0].id();
        let jobs = s.claim(1).await;
        s.complete(&jobs).await.all().unwrap();
        assert_eq!(s.enqueue(&[job("a")]).await.jobs, [Enqueued::Duplicate(first)]);
        assert!(s.claim_keys().await.is_empty());
    }

    async fn a_transaction_that_is_not_committed_enqueues_nothing(s: &Store) {
        let mut tx = s.begin().await;
        on_tx!(tx, conn => {
            sqlx::query("CREATE TABLE host_events (id TEXT PRIMARY KEY, n BIGINT)").execute(conn).await.map(drop)
        }).unwrap();
        tx.commit().await.unwrap();

        for commit in [false, true] {
            let mut tx = s.begin().await;
            let rows = on_tx!(tx, conn => {
                sqlx::query("INSERT INTO host_events (id, n) VALUES ($1, $2)")
                    .bind("e1").bind(7_i64).execute(conn).await.map(|done| done.rows_affected())
            }).unwrap();
            assert_eq!(rows, 1);
            s.outbox.enqueue(&mut tx, &[job("e1")]).await.unwrap();
            if commit {
                tx.commit().await.unwrap();
            } else {
                drop(tx);
            }
            let events: i64 = on_pool!(s.db, pool => {
                sqlx::query_scalar("SELECT count(*) FROM host_events WHERE n = $1").bind(7_i64).fetch_one(pool).await
            }).unwrap();
            let jobs = s.outbox.find("q", "e1").await.unwrap();
            assert_eq!((events, jobs.is_some()), if commit { (1, true) } else { (0, false) });
        }
    }

    async fn payloads_are_returned_unchanged(s: &Store) {
        let payloads = [
            Value::Null,
            json!("Grüße, \"quoted\" \\ \u{1F600}"),
            json!({"nested": {"list": [1, -2.5, true, null]}, "zero": "a\u{0}b"}),
            json!([]),
            json!(9_007_199_254_740_993_i64),
        ];
        let jobs: Vec<_> = payloads.iter().enumerate()
            .map(|(n, payload)| NewJob::new("q", n.to_string(), payload.clone()))
            .collect();
        s.enqueue(&jobs).await;
        let out: Vec<Value> = s.claim(10).await.into_iter().map(|job| job.payload).collect();
        assert_eq!(out, payloads);
    }

    async fn an_unreadable_payload_blocks_no_other_job(s: &Store) {
        s.enqueue(&[job("bad"), job("good")]).await;
        let mut tx = s.begin().await;
        on_tx!(tx, conn => {
            sqlx::query("UPDATE outbox_jobs SET payload = '{\"key\":' WHERE key = 'bad'").execute(conn).await.map(drop)
        }).unwrap();
        tx.commit().await.unwrap();
        let jobs = s.claim(10).await;
        assert_eq!(keys(&jobs), ["bad", "good"]);
        let read = |n: usize| jobs[n].parse::<std::collections::BTreeMap<String, String>>();
        assert_eq!(read(0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(1).unwrap()["key"], "good");
    }

    async fn a_claimed_job_has_all_its_properties(s: &Store) {
        let before = s.now().await;
        s.enqueue(&[lined("k", "line").partition("school").throttle_key("token")]).await;
        let [job] = &s.claim(5).await[..] else { panic!("one job") };
        assert_eq!((&*job.key, job.order_key.as_deref(), &*job.partition, &*job.throttle_key), ("k", Some("line"), "school", "token"));
        assert_eq!((job.attempts(), job.lapsed, job.note.as_deref()), (1, false, None));
        assert!(job.enqueued_at >= before && job.enqueued_at <= s.now().await);
        assert_eq!(job.parse::<std::collections::HashMap<String, String>>().unwrap()["key"], "k");
        assert_eq!(job.parse::<u32>().unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(!format!("{job:?}").contains("line"));
    }

    async fn only_the_oldest_open_job_of_an_order_key_is_claimable(s: &Store) {
        s.enqueue(&[lined("a1", "a"), lined("a2", "a"), lined("b1", "b"), lined("a3", "a"), job("free1"), job("free2")]).await;
        let first = s.claim(100).await;
        assert_eq!(keys(&first), ["a1", "b1", "free1", "free2"]);
        assert!(s.claim_keys().await.is_empty());
        s.complete(&first[..1]).await.all().unwrap();
        let second = s.claim(100).await;
        assert_eq!(keys(&second), ["a2"]);
        s.complete(&second).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["a3"]);
    }

    async fn order_keys_are_separate_for_each_queue(s: &Store) {
        s.enqueue(&[NewJob::new("other", "x", Value::Null).order_key("a"), lined("a1", "a")]).await;
        assert_eq!(s.claim_keys().await, ["a1"]);
    }

    async fn one_call_can_enqueue_more_jobs_than_one_statement(s: &Store) {
        let jobs: Vec<_> = (0..2500).map(|n| lined(&n.to_string(), &format!("line {}", n % 2000))).collect();
        let receipt = s.enqueue(&jobs).await;
        let ids: Vec<_> = receipt.jobs.iter().map(|job| job.id()).collect();
        assert!(ids.is_sorted() && ids.len() == 2500);
        let claimed = s.claim(5000).await;
        assert_eq!(claimed.len(), 2000);
        let settled = s.complete(&claimed).await;
        assert_eq!((settled.kept.len(), settled.lost.len()), (2000, 0));
        assert_eq!(s.claim(5000).await.len(), 500);
    }

    async fn a_newer_job_supersedes_older_ones_that_are_not_leased(s: &Store) {
        let mark = |key: &str, line: &str| lined(key, line).supersede_key("morning");
        let old = s.enqueue(&[mark("held", "p1"), lined("apart", "p1"), mark("old1", "p2"), mark("old2", "p2"), mark("old", "p3")]).await;
        // Within one call the later supersedes the earlier.
        assert_eq!(old.superseded.iter().map(|by| &*by.key).collect::<Vec<_>>(), ["old1"]);
        let jobs = s.claim(1).await;
        assert_eq!(keys(&jobs), ["held"]);

        let new = s.enqueue(&[mark("new1", "p1"), mark("new2", "p2"), mark("old2", "p2")]).await;
        let superseded: Vec<_> = new.superseded.iter().map(|by| (by.id, &*by.key, by.by)).collect();
        assert_eq!(superseded, [(old.jobs[3].id(), "old2", new.jobs[1].id())]);
        assert_eq!(new.jobs[2], Enqueued::Duplicate(old.jobs[3].id()));

        let info = s.outbox.find("q", "old2").await.unwrap().unwrap();
        assert_eq!((info.state, info.superseded_by), (JobState::Superseded, Some(new.jobs[1].id())));
        // What is held goes on, and the newer waits behind it and what else is in the line.
        assert_eq!(s.claim_keys().await, ["old", "new2"]);
        s.complete(&jobs).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["apart"]);
    }

    async fn a_job_with_an_expired_lease_is_not_superseded(s: &Store) {
        s.enqueue(&[lined("sent?", "p").supersede_key("m")]).await;
        assert_eq!(s.claim(1).await.len(), 1);
        s.clock.advance(LEASE + MINUTE);
        let receipt = s.enqueue(&[lined("new", "p").supersede_key("m")]).await;
        assert!(receipt.superseded.is_empty());
        let jobs = s.claim(5).await;
        assert_eq!(keys(&jobs), ["sent?"]);
        assert!(jobs[0].lapsed);
    }

    async fn invalid_jobs_are_rejected_before_any_is_stored(s: &Store) {
        let bad = [
            job(""),
            NewJob::new("", "k", Value::Null),
            job(&"k".repeat(KEY_MAX + 1)),
            job("zero\0byte"),
            lined("k", "zero\0byte"),
            job("k").partition("\0"),
            job("k").throttle_key("x".repeat(KEY_MAX + 1)),
            job("k").supersede_key("without a line"),
        ];
        for bad in bad {
            let mut tx = s.begin().await;
            let error = s.outbox.enqueue(&mut tx, &[job("good"), bad]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            tx.commit().await.unwrap();
        }
        assert!(s.claim_keys().await.is_empty());
        // The longest of everything fits.
        let long = "ü".repeat(KEY_MAX / 2);
        let longest = NewJob::new(long.clone(), long.clone(), Value::Null)
            .order_key(long.clone()).partition(long.clone()).throttle_key(long.clone()).supersede_key(long.clone());
        assert!(matches!(s.enqueue(&[longest]).await.jobs[..], [Enqueued::New(_)]));
    }

    async fn empty_lists_change_nothing(s: &Store) {
        assert!(s.enqueue(&[]).await.jobs.is_empty());
        assert!(s.claim(0).await.is_empty());
        assert!(s.complete(&[]).await.all().is_ok());
    }
}
