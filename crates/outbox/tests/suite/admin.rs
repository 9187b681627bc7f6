//! Dead letters, discarding, hastening, counting, forgetting.

use std::time::Duration;

use chrono::TimeDelta;
use outbox::{Enqueued, JobId, JobState, PauseUntil, Retention, RetryAt};

use crate::support::*;

async fn state(s: &Store, key: &str) -> Option<JobState> {
    s.outbox.find("q", key).await.unwrap().map(|job| job.state)
}

both! {
    async fn a_dead_letter_unblocks_its_order_key_and_can_be_found(s: &Store) {
        s.enqueue(&[lined("bad", "l"), lined("next", "l")]).await;
        let jobs = held(&s.claim(5).await);
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &jobs, "refused")).all().unwrap();
        assert_eq!(s.claim_keys().await, ["next"]);
        let [dead] = &s.outbox.dead("q", None, 10).await.unwrap()[..] else { panic!("one dead letter") };
        assert_eq!((&*dead.key, dead.note.as_deref(), dead.attempts, dead.state), ("bad", Some("refused"), 1, JobState::Dead));
        assert!(dead.finished_at.is_some());
        assert!(s.outbox.dead("q", Some(dead.id), 10).await.unwrap().is_empty());
        assert!(s.outbox.dead("other", None, 10).await.unwrap().is_empty());
    }

    async fn a_retried_dead_letter_goes_behind_later_jobs(s: &Store) {
        let ids: Vec<_> = s.enqueue(&[lined("bad1", "l"), lined("bad2", "l"), lined("next", "l")]).await.jobs
            .iter().map(|job| job.id()).collect();
        for _ in 0..2 {
            let jobs = held(&s.claim(1).await);
            in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &jobs, "refused")).all().unwrap();
        }
        let next = s.claim(5).await;
        assert_eq!(keys(&next), ["next"]);
        let again = in_tx!(s, tx => s.outbox.retry_dead(&mut tx, &[ids[1], ids[0], ids[2], JobId(i64::MAX), ids[0]]));
        assert_eq!(again, [ids[0], ids[1]]);
        // While "next" is held they wait, and then come in their old order.
        assert!(s.claim_keys().await.is_empty());
        s.complete(&next).await.all().unwrap();
        let first = s.claim(5).await;
        assert_eq!((keys(&first), first[0].attempts()), (vec!["bad1".to_owned()], 1));
        assert_eq!(first[0].payload["key"], "bad1");
        s.complete(&first).await.all().unwrap();
        assert_eq!(s.claim_keys().await, ["bad2"]);
    }

    async fn jobs_that_are_not_leased_can_be_discarded(s: &Store) {
        let ids: Vec<_> = s.enqueue(&[job("held"), job("dead"), lined("open", "l"), lined("behind", "l")]).await.jobs
            .iter().map(|job| job.id()).collect();
        let jobs = s.claim(2).await;
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &[jobs[1].lease], "")).all().unwrap();
        let gone = in_tx!(s, tx => s.outbox.discard(&mut tx, &ids[..3], "by hand"));
        assert_eq!(gone, [ids[1], ids[2]]);
        assert_eq!(state(s, "dead").await, Some(JobState::Discarded));
        assert_eq!(s.claim_keys().await, ["behind"]);
        s.clock.advance(LEASE);
        // Its holder is gone: now it can be, and the holder can no longer complete it.
        assert_eq!(in_tx!(s, tx => s.outbox.discard(&mut tx, &ids[..1], "by hand")), [ids[0]]);
        assert_eq!(s.complete(&jobs[..1]).await.lost, [ids[0]]);
        assert!(in_tx!(s, tx => s.outbox.discard(&mut tx, &ids[..1], "by hand")).is_empty());
    }

    async fn a_delayed_job_can_be_run_now(s: &Store) {
        let later = s.now().await + TimeDelta::days(1);
        s.enqueue(&[job("a").not_before(later), job("b").not_before(later), job("p").partition("p").not_before(later)]).await;
        let hastened = in_tx!(s, tx => s.outbox.run_now(&mut tx, "q", &["a", "unknown"]));
        assert_eq!(hastened.len(), 1);
        assert_eq!(s.claim_keys().await, ["a"]);
        // What is held is not touched, what is paused stays paused.
        assert!(in_tx!(s, tx => s.outbox.run_now(&mut tx, "q", &["a"])).is_empty());
        in_tx!(s, tx => s.outbox.pause(&mut tx, "p", PauseUntil::For(MINUTE), ""));
        in_tx!(s, tx => s.outbox.run_now(&mut tx, "q", &["p"]));
        assert!(s.claim_keys().await.is_empty());
    }

    async fn a_delayed_job_can_be_brought_forward_but_not_put_off(s: &Store) {
        let later = s.now().await + TimeDelta::days(1);
        s.enqueue(&[job("a").not_before(later), job("b")]).await;
        let wait = 5 * MINUTE;
        assert_eq!(in_tx!(s, tx => s.outbox.run_within(&mut tx, "q", &["a", "b"], wait)).len(), 1);
        assert_eq!(s.claim_keys().await, ["b"]);
        assert!(in_tx!(s, tx => s.outbox.run_within(&mut tx, "q", &["a"], 2 * wait)).is_empty());
        s.clock.advance(wait);
        assert_eq!(s.claim_keys().await, ["a"]);
    }

    async fn jobs_are_counted_by_queue_and_state(s: &Store) {
        assert!(s.outbox.stats().await.unwrap().is_empty());
        s.enqueue(&[job("held"), job("vanished"), job("dead"), job("done"), job("retried")]).await;
        let jobs = held(&s.claim(5).await);
        s.clock.advance(MINUTE);
        s.outbox.renew(&jobs[..1], 5 * LEASE).await.unwrap().all().unwrap();
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &jobs[2..3], "")).all().unwrap();
        in_tx!(s, tx => s.outbox.complete(&mut tx, &jobs[3..4])).all().unwrap();
        in_tx!(s, tx => s.outbox.retry(&mut tx, &jobs[4..], RetryAt::After(5 * LEASE), "")).all().unwrap();
        s.enqueue(&[lined("ready", "l"), lined("behind", "l")]).await;
        s.clock.advance(LEASE);
        let stats = &s.outbox.stats().await.unwrap()["q"];
        let oldest = stats.oldest_open.unwrap();
        assert!(oldest >= LEASE + MINUTE && oldest < LEASE + 2 * MINUTE, "{oldest:?}");
        assert_eq!((stats.ready, stats.later, stats.paused), (2, 1, 0));
        assert_eq!((stats.leased, stats.lapsed, stats.dead), (1, 1, 1));
    }

    async fn finished_jobs_are_pruned_after_their_retention(s: &Store) {
        let day = Duration::from_secs(86_400);
        let retention = Retention::new(30 * day);
        s.enqueue(&[job("done"), job("dead"), job("held"), lined("old", "l").supersede_key("x"), lined("new", "l").supersede_key("x")]).await;
        let jobs = held(&s.claim(3).await);
        in_tx!(s, tx => s.outbox.complete(&mut tx, &jobs[..1])).all().unwrap();
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &jobs[1..2], "")).all().unwrap();
        s.clock.advance(29 * day);
        s.enqueue(&[job("young")]).await;
        let jobs = s.claim(9).await;
        s.complete(&jobs[2..]).await.all().unwrap();
        assert_eq!(s.outbox.prune(&retention).await.unwrap(), 0);
        s.clock.advance(2 * day);
        assert_eq!(s.outbox.prune(&retention).await.unwrap(), 2);
        assert_eq!(s.outbox.prune(&retention).await.unwrap(), 0);
        assert_eq!((state(s, "done").await, state(s, "old").await), (None, None));
        assert_eq!((state(s, "dead").await, state(s, "young").await), (Some(JobState::Dead), Some(JobState::Done)));
        assert_eq!(s.outbox.prune(&Retention::new(30 * day).dead(day)).await.unwrap(), 1);
        // A forgotten key is new again, with a number of its own.
        let again = s.enqueue(&[job("done")]).await.jobs[0];
        assert!(matches!(again, Enqueued::New(id) if id > jobs[0].id()));
    }

    async fn pruning_skips_kept_jobs(s: &Store) {
        let jobs: Vec<_> = (0..4500).map(|n| job(&n.to_string())).collect();
        s.enqueue(&jobs).await;
        let claimed = s.claim(5000).await;
        // Open jobs lie before, between and behind the finished ones.
        let done: Vec<_> = claimed.iter().enumerate().filter(|(n, _)| *n > 2100 && n % 3 > 0).map(|(_, job)| job.clone()).collect();
        s.complete(&done).await.all().unwrap();
        s.clock.advance(2 * MINUTE);
        let retention = Retention::new(MINUTE);
        assert_eq!(s.outbox.prune(&retention).await.unwrap(), done.len() as u64);
        let stats = s.outbox.stats().await.unwrap().remove("q").unwrap();
        assert_eq!(stats.leased, 4500 - done.len() as u64);
    }

    async fn a_finished_job_loses_its_payload(s: &Store) {
        s.enqueue(&[lined("old", "l").supersede_key("x"), lined("new", "l").supersede_key("x"), job("gone"), job("dead")]).await;
        let jobs = held(&s.claim(9).await);
        in_tx!(s, tx => s.outbox.complete(&mut tx, &jobs[..1])).all().unwrap();
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &jobs[1..], "")).all().unwrap();
        let gone = s.outbox.find("q", "gone").await.unwrap().unwrap().id;
        in_tx!(s, tx => s.outbox.discard(&mut tx, &[gone], ""));
        let kept: Vec<String> = outbox::on_pool!(s.db, pool => {
            sqlx::query_scalar("SELECT payload FROM outbox_jobs WHERE payload <> ''").fetch_all(pool).await
        }).unwrap();
        assert_eq!(kept, [r#"{"key":"dead"}"#]);
    }

    async fn a_zero_byte_in_a_note_is_removed(s: &Store) {
        s.enqueue(&[job("a")]).await;
        let jobs = held(&s.claim(1).await);
        in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &jobs, "said \0 so")).all().unwrap();
        assert_eq!(s.outbox.find("q", "a").await.unwrap().unwrap().note.as_deref(), Some("said  so"));
    }
}
