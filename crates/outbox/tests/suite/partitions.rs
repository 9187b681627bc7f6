//! Batches of one partition, and pauses.

use std::time::Duration;

use chrono::TimeDelta;
use outbox::{ClaimRequest, JobState, NewJob, PauseUntil};
use serde_json::Value;

use crate::support::*;

async fn batch(s: &Store, limit: u32, gather: Duration) -> Vec<String> {
    let request = ClaimRequest::single_partition(limit, LEASE, gather);
    keys(&s.outbox.claim("q", &request).await.unwrap())
}

/// How many jobs are looked at.
const MOST: u32 = 2000;

/// The partitions that wait, and how many of their jobs were counted.
async fn waiting(s: &Store, request: &ClaimRequest) -> Vec<(String, u64)> {
    let found = s.outbox.waiting("q", request, MOST).await.unwrap();
    found
        .into_iter()
        .map(|one| (one.partition, one.jobs))
        .collect()
}

fn any() -> ClaimRequest {
    ClaimRequest::single_partition(5, LEASE, Duration::ZERO)
}

fn in_partition(key: &str, partition: &str) -> NewJob {
    job(key).partition(partition)
}

both! {
    async fn a_batch_comes_from_the_partition_that_waited_longest(s: &Store) {
        s.enqueue(&[in_partition("b1", "b")]).await;
        s.clock.advance(MINUTE);
        s.enqueue(&[in_partition("a1", "a"), in_partition("a2", "a"), in_partition("b2", "b"), in_partition("b3", "b")]).await;
        assert_eq!(batch(s, 2, Duration::ZERO).await, ["b1", "b2"]);
        assert_eq!(batch(s, 2, Duration::ZERO).await, ["a1", "a2"]);
        assert_eq!(batch(s, 2, Duration::ZERO).await, ["b3"]);
        assert!(batch(s, 2, Duration::ZERO).await.is_empty());
    }

    async fn whole_partitions_come_one_after_the_other(s: &Store) {
        s.enqueue(&[in_partition("b1", "b"), in_partition("a1", "a")]).await;
        s.clock.advance(MINUTE);
        s.enqueue(&[in_partition("c1", "c"), in_partition("a2", "a"), in_partition("b2", "b"), in_partition("b3", "b")]).await;
        let claim = async |limit, except: &[&str]| {
            let except = except.iter().map(|partition| (*partition).to_owned()).collect();
            let request = ClaimRequest::whole_partitions(limit, LEASE).except(except);
            keys(&s.outbox.claim("q", &request).await.unwrap())
        };
        assert_eq!(claim(1, &["b"]).await, ["a1"]);
        assert_eq!(claim(2, &[]).await, ["b1", "b2"]);
        assert_eq!(claim(2, &["b"]).await, ["c1", "a2"]);
        assert_eq!(claim(2, &[]).await, ["b3"]);
    }

    async fn several_batches_of_one_claim_are_of_different_partitions(s: &Store) {
        s.enqueue(&[in_partition("b1", "b"), in_partition("b2", "b"), in_partition("a1", "a"), in_partition("c1", "c")]).await;
        let one = ClaimRequest::single_partition(1, LEASE, Duration::ZERO);
        let claim = async |requests: Vec<ClaimRequest>| {
            let batches = s.outbox.claim_each("q", requests, 3).await.unwrap();
            batches.iter().map(|batch| keys(batch)).collect::<Vec<_>>()
        };
        assert!(claim(Vec::new()).await.is_empty());
        assert_eq!(claim(vec![one.clone().partition("none"), one.clone().partition("c")]).await, [["c1"]]);
        assert_eq!(claim(vec![one.clone(), one.clone(), one.clone()]).await, [["b1"], ["a1"]]);
        assert_eq!(claim(vec![one.clone(), one]).await, [["b2"]]);
        s.enqueue(&[in_partition("d1", "d"), in_partition("d2", "d"), in_partition("e1", "e")]).await;
        let all = |partition: &str| any().partition(partition);
        let mut left = vec![all("d"), all("e")].into_iter();
        let enough = s.outbox.claim_each("q", left.by_ref(), 2).await.unwrap();
        assert_eq!((enough.len(), left.len()), (1, 1));
    }

    async fn a_batch_waits_for_more_jobs_unless_it_is_full(s: &Store) {
        let gather = 5 * MINUTE;
        s.enqueue(&[in_partition("a1", "a"), in_partition("b1", "b"), in_partition("b2", "b")]).await;
        assert!(batch(s, 3, gather).await.is_empty());
        s.clock.advance(MINUTE);
        s.enqueue(&[in_partition("b3", "b"), in_partition("b4", "b")]).await;
        // b is full though a has waited as long
        assert_eq!(batch(s, 3, gather).await, ["b1", "b2", "b3"]);
        assert!(batch(s, 3, gather).await.is_empty());
        s.clock.advance(4 * MINUTE);
        assert_eq!(batch(s, 3, gather).await, ["a1"]);
        assert!(batch(s, 3, gather).await.is_empty());
        s.clock.advance(MINUTE);
        assert_eq!(batch(s, 3, gather).await, ["b4"]);
    }

    async fn earlier_waiting_counts_towards_the_gathering_time(s: &Store) {
        s.enqueue(&[in_partition("a1", "a"), in_partition("b1", "b").waited(4 * MINUTE), in_partition("c1", "c").waited(6 * MINUTE)]).await;
        assert_eq!(batch(s, 3, 5 * MINUTE).await, ["c1"]);
        assert!(batch(s, 3, 5 * MINUTE).await.is_empty());
        s.clock.advance(MINUTE);
        assert_eq!(batch(s, 3, 5 * MINUTE).await, ["b1"]);
        assert_eq!(s.claim_keys().await, ["a1"]);
    }

    async fn blocked_jobs_do_not_fill_a_batch(s: &Store) {
        s.enqueue(&[in_partition("a1", "a").order_key("l"), in_partition("a2", "a").order_key("l"), in_partition("a3", "a").order_key("l")]).await;
        assert!(batch(s, 3, MINUTE).await.is_empty());
        s.clock.advance(MINUTE);
        assert_eq!(batch(s, 3, MINUTE).await, ["a1"]);
    }

    async fn excluded_partitions_are_skipped_by_that_claim_only(s: &Store) {
        s.enqueue(&[in_partition("a1", "a"), in_partition("b1", "b"), in_partition("b2", "b"), in_partition("c1", "c")]).await;
        let without = |limit, partitions: &[&str]| {
            ClaimRequest::mixed(limit, LEASE).except(partitions.iter().map(|partition| (*partition).to_owned()).collect())
        };
        assert_eq!(keys(&s.outbox.claim("q", &without(5, &["a", "b"])).await.unwrap()), ["c1"]);
        let single_partition = ClaimRequest::single_partition(2, LEASE, MINUTE).except(vec!["b".to_owned()]);
        assert!(s.outbox.claim("q", &single_partition).await.unwrap().is_empty());
        s.clock.advance(MINUTE);
        assert_eq!(keys(&s.outbox.claim("q", &single_partition).await.unwrap()), ["a1"]);
        assert_eq!(s.claim_keys().await, ["b1", "b2"]);
    }

    async fn an_overdue_claim_returns_only_long_overdue_jobs(s: &Store) {
        s.enqueue(&[in_partition("a1", "a")]).await;
        s.clock.advance(MINUTE);
        s.enqueue(&[in_partition("a2", "a"), in_partition("b1", "b")]).await;
        let late = ClaimRequest::mixed(5, LEASE).overdue(MINUTE);
        assert_eq!(keys(&s.outbox.claim("q", &late).await.unwrap()), ["a1"]);
        let late = ClaimRequest::single_partition(2, LEASE, MINUTE).overdue(MINUTE);
        s.clock.advance(MINUTE);
        assert!(s.outbox.claim("q", &late).await.unwrap().is_empty());
        s.clock.advance(MINUTE);
        assert_eq!(keys(&s.outbox.claim("q", &late).await.unwrap()), ["a2"]);
    }

    async fn jobs_without_a_partition_form_a_partition(s: &Store) {
        s.enqueue(&[job("x"), in_partition("a1", "a"), job("y")]).await;
        assert_eq!(batch(s, 5, Duration::ZERO).await, ["x", "y"]);
    }

    async fn a_paused_partition_resumes_at_its_time(s: &Store) {
        s.enqueue(&[in_partition("a1", "a"), in_partition("b1", "b")]).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(5 * MINUTE), "429"));
        s.enqueue(&[in_partition("a2", "a")]).await;
        assert_eq!(batch(s, 5, Duration::ZERO).await, ["b1"]);
        assert!(s.claim_keys().await.is_empty());
        let [pause] = &s.outbox.pauses().await.unwrap()[..] else { panic!("one pause") };
        assert_eq!((&*pause.key, &*pause.reason), ("a", "429"));
        assert!((pause.until - s.now().await - TimeDelta::minutes(5)).abs() < TimeDelta::minutes(1));

        s.clock.advance(5 * MINUTE);
        assert!(s.outbox.pauses().await.unwrap().is_empty());
        assert_eq!(s.claim_keys().await, ["a1", "a2"]);
    }

    async fn a_pause_applies_to_all_queues_and_to_throttle_keys(s: &Store) {
        s.enqueue(&[
            in_partition("a", "school a").throttle_key("token"),
            in_partition("b", "school b").throttle_key("token"),
            in_partition("c", "school c").throttle_key("other"),
            NewJob::new("other", "d", Value::Null).partition("token"),
        ]).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "token", PauseUntil::For(MINUTE), "revoked"));
        assert_eq!(s.claim_keys().await, ["c"]);
        assert!(s.outbox.claim("other", &ClaimRequest::mixed(5, LEASE)).await.unwrap().is_empty());
        in_tx!(s, tx => s.outbox.resume(&mut tx, "token"));
        assert_eq!(s.claim_keys().await, ["a", "b"]);
        assert_eq!(s.outbox.claim("other", &ClaimRequest::mixed(5, LEASE)).await.unwrap().len(), 1);
    }

    async fn a_resumed_partition_continues_at_once_but_not_before_its_time(s: &Store) {
        let later = s.now().await + TimeDelta::minutes(30);
        s.enqueue(&[in_partition("now", "a"), in_partition("later", "a").not_before(later)]).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::At(later + TimeDelta::days(1)), "offline"));
        assert!(s.claim_keys().await.is_empty());
        assert_eq!(s.outbox.find("q", "now").await.unwrap().unwrap().state, JobState::Paused);
        assert_eq!(s.outbox.stats().await.unwrap()["q"].paused, 1);
        in_tx!(s, tx => s.outbox.resume(&mut tx, "a"));
        assert_eq!(s.claim_keys().await, ["now"]);
        s.clock.advance(30 * MINUTE);
        assert!(s.claim_keys().await.contains(&"later".to_owned()));
    }

    async fn a_resumed_partition_is_still_paused_by_its_throttle_key(s: &Store) {
        s.enqueue(&[in_partition("a", "school").throttle_key("token")]).await;
        for partition in ["school", "token"] {
            in_tx!(s, tx => s.outbox.pause(&mut tx, partition, PauseUntil::For(MINUTE), ""));
        }
        assert!(s.claim_keys().await.is_empty());
        in_tx!(s, tx => s.outbox.resume(&mut tx, "school"));
        assert!(s.claim_keys().await.is_empty());
        in_tx!(s, tx => s.outbox.resume(&mut tx, "token"));
        assert_eq!(s.claim_keys().await, ["a"]);
    }

    async fn the_longer_of_two_pauses_applies(s: &Store) {
        s.enqueue(&[in_partition("a", "a")]).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(10 * MINUTE), "long"));
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(5 * MINUTE), "short"));
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(6 * MINUTE);
        assert!(s.claim_keys().await.is_empty());
        assert_eq!(s.outbox.pauses().await.unwrap()[0].reason, "long");
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(10 * MINUTE), "longer"));
        s.clock.advance(5 * MINUTE);
        assert!(s.claim_keys().await.is_empty());
        assert_eq!(s.outbox.pauses().await.unwrap()[0].reason, "longer");
        s.clock.advance(5 * MINUTE);
        assert_eq!(s.claim_keys().await, ["a"]);
    }

    async fn an_empty_key_cannot_be_paused(s: &Store) {
        let mut tx = s.begin().await;
        let error = s.outbox.pause(&mut tx, "", PauseUntil::For(MINUTE), "").await.unwrap_err();
        assert_eq!(error.kind(), outbox::ErrorKind::Invalid);
    }

    async fn many_paused_jobs_do_not_hide_others(s: &Store) {
        let mut jobs: Vec<_> = (0..1500).map(|n| in_partition(&format!("a{n}"), "a")).collect();
        jobs.push(in_partition("b", "b"));
        s.enqueue(&jobs).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(MINUTE), ""));
        assert_eq!(s.claim_keys().await, ["b"]);
        assert_eq!(s.outbox.stats().await.unwrap()["q"].paused, 1500);
        s.clock.advance(MINUTE);
        assert_eq!(s.claim(2000).await.len(), 1500);
    }

    async fn a_paused_job_with_an_expired_lease_is_still_lapsed_afterwards(s: &Store) {
        s.enqueue(&[in_partition("a", "a")]).await;
        s.claim(1).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "a", PauseUntil::For(3 * LEASE), ""));
        s.clock.advance(LEASE);
        assert!(s.claim_keys().await.is_empty());
        in_tx!(s, tx => s.outbox.resume(&mut tx, "a"));
        assert!(s.claim(1).await[0].lapsed);
    }

    async fn waiting_partitions_are_listed_with_what_can_be_claimed(s: &Store) {
        assert!(waiting(s, &any()).await.is_empty());
        s.enqueue(&[in_partition("b1", "b"), in_partition("a1", "a").order_key("l"), in_partition("a2", "a").order_key("l")]).await;
        s.enqueue(&[in_partition("c1", "c").waited(2 * MINUTE), in_partition("p1", "p")]).await;
        s.enqueue(&[in_partition("later", "d").not_before(s.now().await + TimeDelta::days(1))]).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "p", PauseUntil::For(MINUTE), ""));
        let found = s.outbox.waiting("q", &any(), MOST).await.unwrap();
        assert_eq!(found[0].partition, "c");
        assert!(found[0].oldest >= 2 * MINUTE && found[0].oldest < 3 * MINUTE, "{found:?}");
        let mut rest = waiting(s, &any()).await.split_off(1);
        rest.sort();
        assert_eq!(rest, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        assert!(s.outbox.waiting("other", &any(), MOST).await.unwrap().is_empty());
    }

    async fn a_partition_behind_many_jobs_of_others_comes_up_as_those_are_claimed(s: &Store) {
        let jobs: Vec<_> = (0..2500).map(|n| in_partition(&format!("a{n}"), "a").waited(MINUTE)).collect();
        s.enqueue(&jobs).await;
        s.enqueue(&[in_partition("b1", "b")]).await;
        let a = |jobs| ("a".to_owned(), jobs);
        let b = || ("b".to_owned(), 1);
        assert_eq!(waiting(s, &any()).await, [a(2000)]);
        assert_eq!(waiting(s, &any().except(vec!["a".to_owned()])).await, [b()]);
        assert_eq!(s.outbox.waiting("q", &any(), MOST + 1000).await.unwrap().len(), 2);
        let of_a = |limit| ClaimRequest::single_partition(limit, LEASE, Duration::ZERO).partition("a");
        assert_eq!(s.outbox.claim("q", &of_a(500)).await.unwrap().len(), 500);
        assert_eq!(waiting(s, &any()).await, [a(2000)]);
        assert_eq!(s.outbox.claim("q", &of_a(1)).await.unwrap().len(), 1);
        assert_eq!(waiting(s, &any()).await, [a(1999), b()]);
    }

    async fn jobs_that_cannot_be_claimed_do_not_hide_a_partition(s: &Store) {
        let blocked = |n| in_partition(&format!("a{n}"), "a").order_key("l").waited(MINUTE);
        let paused = |n| in_partition(&format!("p{n}"), "p").waited(MINUTE);
        s.enqueue(&(0..2500).map(blocked).collect::<Vec<_>>()).await;
        s.enqueue(&(0..2500).map(paused).collect::<Vec<_>>()).await;
        in_tx!(s, tx => s.outbox.pause(&mut tx, "p", PauseUntil::For(MINUTE), ""));
        s.enqueue(&[in_partition("b1", "b")]).await;
        assert_eq!(waiting(s, &any()).await, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    }

    async fn a_partition_can_be_claimed_by_name_however_long_it_has_waited(s: &Store) {
        s.enqueue(&[in_partition("a1", "a"), in_partition("b1", "b"), in_partition("b2", "b")]).await;
        let named = |name: &str| ClaimRequest::single_partition(5, LEASE, 5 * MINUTE).partition(name);
        assert_eq!(keys(&s.outbox.claim("q", &named("b")).await.unwrap()), ["b1", "b2"]);
        assert!(s.outbox.claim("q", &named("b")).await.unwrap().is_empty());
        assert!(s.outbox.claim("q", &named("x")).await.unwrap().is_empty());
        assert_eq!(s.claim_keys().await, ["a1"]);
    }
}
