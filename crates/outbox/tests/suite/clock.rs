//! Clocks that jump.

use chrono::TimeDelta;
use outbox::{ClaimRequest, Clock as _, PauseUntil, RetryAt};

use crate::support::*;

const HOUR_MS: i64 = 3_600_000;

both! {
    async fn leases_expire_after_the_clock_was_set_back(s: &Store) {
        s.enqueue(&[job("a")]).await;
        s.claim(1).await;
        s.clock.shift_ms(-24 * HOUR_MS);
        // The lease counts from the new time.
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(LEASE - MINUTE);
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(2 * MINUTE);
        assert_eq!(s.claim_keys().await, ["a"]);
    }

    async fn backoffs_and_pauses_end_after_the_clock_was_set_back(s: &Store) {
        s.enqueue(&[job("a"), job("b").partition("b"), job("c").partition("b")]).await;
        let jobs = held(&s.claim(2).await);
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs, RetryAt::After(5 * MINUTE), "")).all().unwrap();
        in_tx!(s, tx => s.outbox.pause(&mut tx, "b", PauseUntil::For(10 * MINUTE), ""));
        assert!(s.claim_keys().await.is_empty());
        s.clock.shift_ms(-24 * HOUR_MS);
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(6 * MINUTE);
        assert_eq!(s.claim_keys().await, ["a"]);
        s.clock.advance(5 * MINUTE);
        assert_eq!(s.claim_keys().await, ["b", "c"]);
    }

    async fn an_absolute_time_stays_when_the_clock_is_set_back(s: &Store) {
        let at = s.now().await + TimeDelta::hours(1);
        s.enqueue(&[job("a").not_before(at), job("b")]).await;
        let b = held(&s.claim(5).await);
        in_tx!(s, tx => s.outbox.retry(&mut tx, &b, RetryAt::At(at), "")).all().unwrap();
        s.clock.shift_ms(-2 * HOUR_MS);
        assert!(s.claim_keys().await.is_empty());
        s.clock.shift_ms(2 * HOUR_MS + HOUR_MS / 2);
        assert!(s.claim_keys().await.is_empty());
        s.clock.shift_ms(HOUR_MS / 2);
        assert_eq!(s.claim_keys().await, ["a", "b"]);
    }

    async fn an_absolute_time_is_one_of_the_test_s_clock(s: &Store) {
        let at = s.clock.now() + TimeDelta::hours(1);
        s.enqueue(&[job("a").not_before(at)]).await;
        assert!(s.claim_keys().await.is_empty());
        s.clock.shift_ms(HOUR_MS);
        assert_eq!(s.claim_keys().await, ["a"]);
    }

    async fn the_next_process_notices_a_clock_that_was_set_back(s: &Store) {
        s.enqueue(&[job("a")]).await;
        s.claim(1).await;
        s.clock.shift_ms(-24 * HOUR_MS);
        let later = s.another_node().await;
        assert!(later.claim_keys().await.is_empty());
        s.clock.advance(LEASE + MINUTE);
        assert_eq!(later.claim_keys().await, ["a"]);
    }

    async fn a_clock_repair_is_repeated_after_a_rollback(s: &Store) {
        s.enqueue(&[job("a")]).await;
        s.claim(1).await;
        s.clock.shift_ms(-24 * HOUR_MS);
        let mut tx = s.begin().await;
        let request = ClaimRequest::mixed(1, LEASE);
        assert!(s.outbox.claim_in(&mut tx, "q", &request).await.unwrap().is_empty());
        tx.rollback().await.unwrap();
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(LEASE + MINUTE);
        assert_eq!(s.claim_keys().await, ["a"]);
    }

    async fn a_clock_that_jumps_forward_expires_leases_but_nothing_is_completed_twice(s: &Store) {
        s.enqueue(&[lined("a", "l"), lined("b", "l")]).await;
        let first = s.claim(1).await;
        s.clock.shift_ms(24 * HOUR_MS);
        let second = s.claim(1).await;
        assert_eq!(keys(&second), ["a"]);
        s.clock.shift_ms(-24 * HOUR_MS);
        assert_eq!(s.complete(&first).await.lost.len(), 1);
        s.complete(&second).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["b"]);
    }
}
