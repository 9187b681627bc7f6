//! The workers: claim a sync, keep its lease while it runs, and handle its errors.

use mis_core::ErrorKind;
use outbox::{ClaimedJob, RetryAt, Tx, Wakeup};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{PeopleSync, SyncJob, SyncRequest, school::Obstacle};
use crate::{
    pipeline::failure::{Next, Panicked, caught, note_of_panic},
    queues::{self, Worker},
    settings::School,
    store::{SyncEnd, SyncState},
};

/// How a sync ended.
enum End {
    /// It is stored, or its job is settled.
    Settled,
    /// It met an obstacle.
    Met(Obstacle),
    /// A worker panicked.
    Panicked,
    /// The service is stopping; it continues later.
    Stopped,
    /// Another node has taken over.
    Lost,
}

impl PeopleSync {
    /// Runs scheduled and requested syncs until told to stop. Running syncs continue at the next start.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(self.run_schedule(stop.clone()), self.run_workers(stop));
    }

    /// Runs queued syncs until told to stop.
    pub async fn run_workers(&self, stop: CancellationToken) {
        let workers = self.settings.current().service.sync.at_once.get();
        let wakeup = self.worker().wakeup();
        futures::future::join_all((0..workers).map(|_| self.work(&wakeup, &stop))).await;
    }

    async fn work(&self, wakeup: &Mutex<Wakeup>, stop: &CancellationToken) {
        let worker = self.worker();
        while let Some(job) = worker.next(wakeup, stop).await {
            self.settle(job, stop).await;
        }
    }

    fn worker(&self) -> Worker<'_> {
        Worker {
            store: &self.store,
            queue: queues::ROSTER,
            poll: self.config.poll,
            lease: self.config.lease,
        }
    }

    async fn settle(&self, claimed: ClaimedJob, stop: &CancellationToken) {
        let Ok(job) = claimed.parse::<SyncJob>() else {
            let why = "the stored sync cannot be read; was it written by another version?";
            return self.noted(self.bury(&claimed, why).await);
        };
        let settings = self.settings.current();
        let Some(school) = settings.school(&job.school) else {
            let why = "the school is no longer in the settings";
            return self.noted(self.fail(&claimed, &job, why).await);
        };
        let worker = self.worker();
        let end = tokio::select! {
            done = caught(self.sync(school, &job, claimed.lease)) => match done {
                Ok(Ok(())) => End::Settled,
                Ok(Err(obstacle)) => End::Met(obstacle),
                Err(Panicked) => End::Panicked,
            },
            () = stop.cancelled() => End::Stopped,
            () = worker.hold(&claimed) => End::Lost,
        };
        let settled = match end {
            End::Settled => Ok(()),
            End::Met(Obstacle::Mis(error)) => self.after(&claimed, &job, school, &error).await,
            End::Met(Obstacle::Store(error)) => Err(error),
            End::Panicked => self.after_panic(&claimed, &job).await,
            End::Stopped => worker.hand_back(&claimed).await,
            End::Lost => {
                tracing::info!(school = %job.school, "another node continues this sync");
                Ok(())
            }
        };
        self.noted(settled);
    }

    /// A step that was not committed is repeated when the lease expires.
    fn noted(&self, settled: outbox::Result<()>) {
        if let Err(error) = settled {
            tracing::warn!(%error, "a step of a sync was not committed; it will be repeated");
        }
    }

    async fn after(
        &self,
        claimed: &ClaimedJob,
        job: &SyncJob,
        school: &School,
        error: &mis_core::Error,
    ) -> outbox::Result<()> {
        let outbox = self.store.outbox();
        let mut tx = self.store.database().begin().await?;
        let held = [claimed.lease];
        let age = self.store.now() - claimed.enqueued_at;
        let next = Next::after(error, school).within(self.config.give_up_after, age);
        self.schools.doubt(error, &school.id);
        let settled = match next {
            Next::Retry { when, why } => {
                self.trouble(&mut tx, job, &why).await?;
                outbox.retry(&mut tx, &held, when, &why).await?
            }
            // A school that cannot be read may still be written to, so only an error of the token pauses others.
            Next::Pause { length, why, .. } if is_of_the_school(error) => {
                self.trouble(&mut tx, job, &why).await?;
                outbox
                    .retry(&mut tx, &held, RetryAt::After(length), &why)
                    .await?
            }
            Next::Pause {
                key,
                length,
                why,
                needs_operator,
            } => {
                self.trouble(&mut tx, job, &why).await?;
                self.store
                    .pause(&mut tx, &key, length, &why, needs_operator)
                    .await?;
                outbox.release(&mut tx, &held).await?
            }
            Next::Fail { why } => {
                self.end_failed(&mut tx, job, &why).await?;
                outbox.complete(&mut tx, &held).await?
            }
        };
        settled.all()?;
        tx.commit().await?;
        tracing::warn!(school = %job.school, sync = %job.id, %error, "a sync failed");
        Ok(())
    }

    async fn after_panic(&self, claimed: &ClaimedJob, job: &SyncJob) -> outbox::Result<()> {
        let outbox = self.store.outbox();
        let mut tx = self.store.database().begin().await?;
        let (why, is_last) = note_of_panic(claimed);
        let settled = if is_last {
            self.end_failed(&mut tx, job, &why).await?;
            outbox.complete(&mut tx, &[claimed.lease]).await?
        } else {
            self.trouble(&mut tx, job, &why).await?;
            outbox
                .retry(&mut tx, &[claimed.lease], RetryAt::Backoff, &why)
                .await?
        };
        settled.all()?;
        tx.commit().await
    }

    async fn trouble(&self, tx: &mut Tx, job: &SyncJob, why: &str) -> outbox::Result<()> {
        self.store
            .trouble_sync(tx, job.school.as_str(), &job.id, why)
            .await
    }

    async fn end_failed(&self, tx: &mut Tx, job: &SyncJob, why: &str) -> outbox::Result<()> {
        let end = SyncEnd {
            state: SyncState::Failed,
            full: None,
            report: None,
            error: Some(why),
        };
        self.store
            .end_sync(tx, job.school.as_str(), &job.id, &end)
            .await?;
        self.store.drop_pull(tx, &job.school).await
    }

    async fn fail(&self, claimed: &ClaimedJob, job: &SyncJob, why: &str) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        self.end_failed(&mut tx, job, why).await?;
        self.store
            .outbox()
            .complete(&mut tx, &[claimed.lease])
            .await?
            .all()?;
        tx.commit().await
    }

    async fn bury(&self, claimed: &ClaimedJob, why: &str) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        // The key still names the sync.
        let id = claimed.key.strip_prefix(&claimed.partition);
        if let Some(id) = id.and_then(|rest| rest.strip_prefix('/')) {
            let job = SyncJob {
                school: claimed.partition.as_str().into(),
                id: id.to_owned(),
                ask: SyncRequest::default(),
            };
            self.end_failed(&mut tx, &job, why).await?;
        }
        self.store
            .outbox()
            .dead_letter(&mut tx, &[claimed.lease], why)
            .await?
            .all()?;
        tx.commit().await
    }
}

/// Whether the error concerns this school alone, not the token that it shares.
fn is_of_the_school(error: &mis_core::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Unauthorized | ErrorKind::RateLimited
    )
}
