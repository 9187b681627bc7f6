//! Trying again: when, in which place, and how often it was counted.

use chrono::TimeDelta;
use outbox::{JobState, RetryAt};

use crate::support::*;

both! {
    async fn a_retried_job_waits_and_keeps_its_place(s: &Store) {
        s.enqueue(&[lined("a", "l"), lined("b", "l")]).await;
        let jobs = held(&s.claim(5).await);
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs, RetryAt::After(10 * MINUTE), "server said 500")).all().unwrap();
        s.clock.advance(9 * MINUTE);
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(MINUTE);
        let again = s.claim(5).await;
        assert_eq!(keys(&again), ["a"]);
        assert_eq!((again[0].attempts(), again[0].note.as_deref(), again[0].lapsed), (2, Some("server said 500"), false));
    }

    async fn a_backoff_is_random_below_a_bound_that_doubles(s: &Store) {
        let jobs: Vec<_> = (0..60).map(|n| job(&n.to_string())).collect();
        s.enqueue(&jobs).await;
        // base 1 min, cap 8 min
        for ceiling in [1, 2, 4, 8, 8] {
            let claimed = s.claim(100).await;
            assert_eq!(claimed.len(), 60);
            let before = s.now().await;
            let held = held(&claimed);
            in_tx!(s, tx => s.outbox.retry(&mut tx, &held, RetryAt::Backoff, "")).all().unwrap();
            let after = s.now().await;
            let mut waits = Vec::new();
            for job in &jobs {
                let due = s.outbox.find("q", &job.key).await.unwrap().unwrap().due_at;
                assert!(due >= before && due <= after + TimeDelta::minutes(ceiling), "{due}");
                waits.push((due - before).num_seconds());
            }
            // Of 60 even draws, none in the upper or none in the lower half is less likely than 2^-59.
            let half = ceiling * 30;
            assert!(waits.iter().any(|&wait| wait >= half) && waits.iter().any(|&wait| wait <= half));
            s.clock.advance(8 * MINUTE);
        }
    }

    async fn the_longer_of_backoff_and_retry_after_applies(s: &Store) {
        s.enqueue(&[job("a")]).await;
        let jobs = held(&s.claim(1).await);
        // The backoff after one attempt is a minute at most.
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs, RetryAt::BackoffAtLeast(30 * MINUTE), "")).all().unwrap();
        s.clock.advance(29 * MINUTE);
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(MINUTE);
        assert_eq!(s.claim_keys().await, ["a"]);
    }

    async fn a_retry_can_have_an_absolute_time(s: &Store) {
        s.enqueue(&[job("a"), job("past")]).await;
        let jobs = held(&s.claim(2).await);
        let at = s.now().await + TimeDelta::minutes(90);
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs[..1], RetryAt::At(at), "")).all().unwrap();
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs[1..], RetryAt::At(at - TimeDelta::days(1)), "")).all().unwrap();
        assert_eq!(s.claim_keys().await, ["past"]);
        assert_eq!(s.outbox.find("q", "a").await.unwrap().unwrap().due_at, at);
        s.clock.advance(90 * MINUTE);
        assert_eq!(s.claim_keys().await.first().map(String::as_str), Some("a"));
    }

    async fn a_job_does_not_run_before_its_time(s: &Store) {
        let at = s.now().await + TimeDelta::minutes(30);
        s.enqueue(&[job("later").not_before(at), job("past").not_before(at - TimeDelta::days(9))]).await;
        assert_eq!(s.claim_keys().await, ["past"]);
        // The next to come is the end of the lease.
        let wait = s.outbox.next_due("q").await.unwrap().unwrap();
        assert!(wait <= LEASE && wait > LEASE - MINUTE, "{wait:?}");
        assert_eq!(s.outbox.next_due("other").await.unwrap(), None);
        s.clock.advance(30 * MINUTE);
        assert!(s.claim_keys().await.contains(&"later".to_owned()));
    }

    async fn a_released_job_counts_no_attempt_and_is_claimable_at_once(s: &Store) {
        s.enqueue(&[lined("a", "l"), lined("b", "l")]).await;
        for _ in 0..3 {
            let jobs = s.claim(5).await;
            assert_eq!((keys(&jobs), jobs[0].attempts()), (vec!["a".to_owned()], 1));
            let held = held(&jobs);
            in_tx!(s, tx => s.outbox.release(&mut tx, &held)).all().unwrap();
        }
        assert_eq!(s.outbox.find("q", "a").await.unwrap().unwrap().attempts, 0);
    }

    async fn a_released_job_is_still_lapsed(s: &Store) {
        s.enqueue(&[job("a")]).await;
        s.claim(1).await;
        s.clock.advance(LEASE);
        let jobs = held(&s.claim(1).await);
        in_tx!(s, tx => s.outbox.release(&mut tx, &jobs)).all().unwrap();
        assert!(s.claim(1).await[0].lapsed);
    }

    async fn extreme_delays_do_not_overflow(s: &Store) {
        s.enqueue(&[job("a"), job("b")]).await;
        let jobs = held(&s.claim(2).await);
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs[..1], RetryAt::After(std::time::Duration::MAX), "")).all().unwrap();
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs[1..], RetryAt::At(chrono::DateTime::<chrono::Utc>::MAX_UTC), "")).all().unwrap();
        assert!(s.claim_keys().await.is_empty());
        assert_eq!(s.outbox.find("q", "a").await.unwrap().unwrap().state, JobState::Waiting);
    }
}
