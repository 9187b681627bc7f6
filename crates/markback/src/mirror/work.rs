//! Full readings as queued jobs, so that nodes share them, take over from a dead node, and respect paused tokens.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use mis_core::{Error, ErrorKind, SchoolId};
use outbox::{ClaimedJob, NewJob, RetryAt, Wakeup};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Mirror, Unread, full::Why};
use crate::{
    pipeline::failure::{Next, Panicked, caught, note_of_panic},
    queues::{self, Worker},
    schools::token_key,
    settings::School,
};

/// Schools read at the same time by one node.
const AT_ONCE: usize = 4;
/// How long a reading waits after an error that does not pass by itself: somebody may have fixed it.
const REST: Duration = Duration::from_secs(5 * 60);
/// The most jobs enqueued in one transaction.
const ENQUEUED_AT_ONCE: usize = 500;
/// A reading requested again after this many minutes is another job.
const ASK_AGAIN: i64 = 10;

#[derive(Debug, Serialize, Deserialize)]
struct ReadJob {
    school: SchoolId,
}

impl Mirror {
    /// Reads the schools' registers in full when due, until told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let worker = Worker {
            store: &self.store,
            queue: queues::REGISTER,
            poll: self.config.poll,
            lease: self.config.lease,
        };
        let wakeup = worker.wakeup();
        let workers = futures::future::join_all(
            (0..AT_ONCE).map(|_| self.run_worker(worker, &wakeup, &stop)),
        );
        tokio::join!(self.run_schedule(&stop), workers);
    }

    async fn run_schedule(&self, stop: &CancellationToken) {
        let mut asked = HashMap::new();
        while !stop.is_cancelled() {
            let since = Instant::now();
            if let Err(error) = self.ask_due(&mut asked).await {
                tracing::warn!(%error, "registers that are due could not be read from the database; retrying");
            }
            let pause = queues::pause_between_looks(self.config.poll, since.elapsed());
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Enqueues full readings that are due and not queued yet.
    async fn ask_due(&self, asked: &mut HashMap<SchoolId, String>) -> outbox::Result<()> {
        let readings = self.store.register_readings().await?;
        let mut due = Vec::new();
        let settings = self.settings.current();
        for school in settings.schools.iter().filter(|school| writes(school)) {
            let Some(why) = self.why(school, readings.get(&school.id)) else {
                continue;
            };
            let id = self.job_id(school, &why);
            // A school that takes no marks stays due, so it is not asked again and again.
            let once = match why {
                Why::First => "first".to_owned(),
                Why::Nightly => id,
            };
            if asked.insert(school.id.clone(), once.clone()) != Some(once) {
                due.push(school);
            }
        }
        for part in due.chunks(ENQUEUED_AT_ONCE) {
            self.ask(part).await?;
        }
        Ok(())
    }

    /// Requests full readings of schools' registers as soon as possible.
    pub(super) async fn ask(&self, schools: &[&School]) -> outbox::Result<()> {
        let readings = self.store.register_readings().await?;
        let jobs: Vec<_> = schools
            .iter()
            .map(|school| {
                let reading = readings.get(&school.id);
                let why = self.why(school, reading).unwrap_or(Why::First);
                self.job(school, &why)
            })
            .collect();
        let mut tx = self.store.database().begin().await?;
        self.store.outbox().enqueue(&mut tx, &jobs).await?;
        tx.commit().await
    }

    fn job_id(&self, school: &School, why: &Why) -> String {
        match why {
            Why::First => {
                let slot = self.store.now().timestamp() / (60 * ASK_AGAIN);
                format!("first-{slot}")
            }
            Why::Nightly => {
                let night = self.night(school).with_timezone(&school.timezone);
                format!("nightly-{}", night.date_naive())
            }
        }
    }

    fn job(&self, school: &School, why: &Why) -> NewJob {
        let job = ReadJob {
            school: school.id.clone(),
        };
        // A plain id always serialises.
        let payload = serde_json::to_value(&job).unwrap_or_default();
        let key = format!("{}/{}", school.id, self.job_id(school, why));
        NewJob::new(queues::REGISTER, key, payload)
            .order_key(format!("register/{}", school.id))
            .partition(school.id.as_str())
            .throttle_key(token_key(school))
            .supersede_key("register")
    }

    async fn run_worker(
        &self,
        worker: Worker<'_>,
        wakeup: &Mutex<Wakeup>,
        stop: &CancellationToken,
    ) {
        while let Some(claimed) = worker.next(wakeup, stop).await {
            let settled = tokio::select! {
                settled = self.settle(&claimed) => settled,
                () = stop.cancelled() => worker.hand_back(&claimed).await,
                () = worker.hold(&claimed) => Ok(()),
            };
            if let Err(error) = settled {
                tracing::warn!(%error, "a step of reading a register was not committed; it will be repeated");
            }
        }
    }

    async fn settle(&self, claimed: &ClaimedJob) -> outbox::Result<()> {
        let job = claimed.parse::<ReadJob>().ok();
        let settings = self.settings.current();
        let school = job.and_then(|job| settings.school(&job.school));
        let done = match school {
            Some(school) => match caught(self.read_all(school)).await {
                Ok(Ok(())) => None,
                Ok(Err(Unread::Store(error))) => return Err(error),
                Ok(Err(Unread::Mis(error))) => Some((school, error)),
                // The only thing to wait for is this reading.
                Ok(Err(Unread::First(_))) => None,
                Err(Panicked) => {
                    let (why, _) = note_of_panic(claimed);
                    Some((school, Error::new(ErrorKind::Unavailable, why)))
                }
            },
            // It is no longer in the settings.
            None => None,
        };
        let (outbox, held) = (self.store.outbox(), [claimed.lease]);
        let mut tx = self.store.database().begin().await?;
        let settled = match done {
            None => outbox.complete(&mut tx, &held).await?,
            Some((school, error)) => {
                let why = error.to_string();
                tracing::warn!(school = %school.id, why, "a full reading of the registers failed; it continues later");
                self.store
                    .trouble_register(&mut tx, &school.id, &why)
                    .await?;
                match Next::after(&error, school) {
                    Next::Retry { when, why } => outbox.retry(&mut tx, &held, when, &why).await?,
                    Next::Pause {
                        key,
                        length,
                        why,
                        needs_operator,
                    } if key == token_key(school) => {
                        self.store
                            .pause(&mut tx, &key, length, &why, needs_operator)
                            .await?;
                        outbox.release(&mut tx, &held).await?
                    }
                    // A school that cannot be read may still be written to.
                    Next::Pause { length, why, .. } => {
                        outbox
                            .retry(&mut tx, &held, RetryAt::After(length), &why)
                            .await?
                    }
                    Next::Fail { why } => {
                        outbox
                            .retry(&mut tx, &held, RetryAt::After(REST), &why)
                            .await?
                    }
                }
            }
        };
        settled.all()?;
        tx.commit().await
    }
}

/// Whether marks are written for anybody at the school.
fn writes(school: &School) -> bool {
    school.groups.iter().any(|group| group.rules.is_some())
}
