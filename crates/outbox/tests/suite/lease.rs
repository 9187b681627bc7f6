//! Leases and fences: who holds a job, for how long, and who does no longer.

use outbox::{ErrorKind, JobState, RetryAt};

use crate::support::*;

both! {
    async fn a_leased_job_cannot_be_claimed_until_the_lease_expires(s: &Store) {
        s.enqueue(&[job("a")]).await;
        assert_eq!(s.claim_keys().await, ["a"]);
        s.clock.advance(LEASE - MINUTE);
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(MINUTE);
        let again = s.claim(1).await;
        assert_eq!(keys(&again), ["a"]);
        assert_eq!((again[0].attempts(), again[0].lapsed), (2, true));
    }

    async fn a_renewed_lease_lasts_longer(s: &Store) {
        s.enqueue(&[job("a")]).await;
        let jobs = s.claim(1).await;
        s.clock.advance(LEASE - MINUTE);
        s.outbox.renew(&held(&jobs), LEASE).await.unwrap().all().unwrap();
        s.clock.advance(LEASE - MINUTE);
        assert!(s.claim_keys().await.is_empty());
        s.complete(&jobs).await.all().unwrap();
    }

    async fn a_worker_that_lost_its_lease_changes_nothing(s: &Store) {
        s.enqueue(&[lined("a", "l"), lined("b", "l")]).await;
        let slow = s.claim(1).await;
        s.clock.advance(LEASE);
        let quick = s.claim(1).await;
        assert_eq!(keys(&quick), ["a"]);

        let slow_held = held(&slow);
        assert_eq!(s.complete(&slow).await.lost, [slow[0].id()]);
        assert_eq!(in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &slow_held, "")).lost.len(), 1);
        assert_eq!(in_tx!(s, tx => s.outbox.release(&mut tx, &slow_held)).lost.len(), 1);
        assert_eq!(in_tx!(s, tx => s.outbox.retry(&mut tx, &slow_held, RetryAt::Backoff, "")).lost.len(), 1);
        assert_eq!(s.outbox.renew(&slow_held, LEASE).await.unwrap().lost.len(), 1);
        assert_eq!(s.outbox.find("q", "a").await.unwrap().unwrap().state, JobState::Leased);

        s.complete(&quick).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["b"]);
    }

    async fn a_lost_lease_can_roll_the_hosts_transaction_back(s: &Store) {
        s.enqueue(&[job("lost"), job("kept")]).await;
        let slow = s.claim(2).await;
        s.clock.advance(LEASE);
        assert_eq!(keys(&s.claim(1).await), ["lost"]);

        let mut tx = s.begin().await;
        s.outbox.enqueue(&mut tx, &[job("follows")]).await.unwrap();
        let settled = s.outbox.complete(&mut tx, &held(&slow)).await.unwrap();
        assert!(settled.kept.contains(&slow[1].id()));
        let error = settled.all().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost);
        tx.rollback().await.unwrap();
        assert!(s.outbox.find("q", "follows").await.unwrap().is_none());
        assert_eq!(s.outbox.find("q", "kept").await.unwrap().unwrap().state, JobState::Leased);
    }

    async fn a_job_with_an_expired_lease_can_be_completed_if_nobody_claimed_it(s: &Store) {
        s.enqueue(&[job("a")]).await;
        let jobs = s.claim(1).await;
        s.clock.advance(2 * LEASE);
        s.complete(&jobs).await.all().unwrap();
        assert!(s.claim_keys().await.is_empty());
    }

    async fn a_settled_job_cannot_be_settled_again(s: &Store) {
        s.enqueue(&[job("done"), job("retried"), job("released"), job("buried")]).await;
        let jobs = s.claim(4).await;
        let [done, retried, released, buried] = &held(&jobs)[..] else { panic!("four jobs") };
        in_tx!(s, tx => s.outbox.complete(&mut tx, &[*done])).all().unwrap();
        in_tx!(s, tx => s.outbox.retry(&mut tx, &[*retried], RetryAt::After(MINUTE), "later")).all().unwrap();
        in_tx!(s, tx => s.outbox.release(&mut tx, &[*released])).all().unwrap();
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &[*buried], "bad")).all().unwrap();
        assert_eq!(s.complete(&jobs).await.lost.len(), 4);
        assert_eq!(s.outbox.renew(&held(&jobs), LEASE).await.unwrap().lost.len(), 4);
    }

    async fn a_worker_that_dies_between_claim_and_complete_loses_no_jobs(s: &Store) {
        s.enqueue(&[lined("a", "l"), lined("b", "l")]).await;
        {
            let jobs = s.claim(10).await;
            let mut tx = s.begin().await;
            s.outbox.complete(&mut tx, &held(&jobs)).await.unwrap().all().unwrap();
            s.outbox.enqueue(&mut tx, &[job("next")]).await.unwrap();
            // dies here: nothing was committed
        }
        assert!(s.claim_keys().await.is_empty());
        s.clock.advance(LEASE);
        let jobs = s.claim(10).await;
        assert_eq!(keys(&jobs), ["a"]);
        assert!(jobs[0].lapsed);
        assert!(s.outbox.find("q", "next").await.unwrap().is_none());
    }

    async fn completing_and_claiming_can_be_one_transaction(s: &Store) {
        s.enqueue(&[lined("a", "l"), lined("b", "l")]).await;
        let first = s.claim(10).await;
        let mut tx = s.begin().await;
        s.outbox.complete(&mut tx, &held(&first)).await.unwrap().all().unwrap();
        let request = outbox::ClaimRequest::mixed(10, LEASE);
        let second = s.outbox.claim_in(&mut tx, "q", &request).await.unwrap();
        assert_eq!(keys(&second), ["b"]);
        tx.commit().await.unwrap();
        s.complete(&second).await.all().unwrap();
    }
}
