//! Jobs, claims and leases.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// The longest queue name, key or partition in bytes. PostgreSQL limits index rows to about 2,700 bytes.
pub const KEY_MAX: usize = 512;

/// The id of a job: unique in the database and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A job to enqueue. Its `Debug` output shows only the queue and the partition.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct NewJob {
    /// The queue, such as `"send"`.
    pub queue: String,
    /// The idempotency key. Enqueueing the same key in the same queue again has no effect until the job is pruned.
    pub key: String,
    /// Jobs with the same order key in one queue run one after another: only the oldest open one can be claimed.
    /// `None` means no order.
    ///
    /// On PostgreSQL, order keys that share the part before the first slash, such as `school/pupil`, share a lock while
    /// a transaction enqueues. A batch for a few schools therefore takes only a few locks.
    pub order_key: Option<String>,
    /// Groups jobs into batches ([`BatchMode::SinglePartition`]) and can be paused. Empty means none.
    pub partition: String,
    /// A second key that can be paused, such as an API token that several partitions share. Empty means none.
    pub throttle_key: String,
    /// Closes older jobs with the same queue, order key and supersede key as superseded, unless they are leased.
    /// Requires an `order_key`.
    pub supersede_key: Option<String>,
    /// How long the work has already waited before it was enqueued. The job is ordered and gathered as if it had been
    /// enqueued that much earlier.
    pub waited: Duration,
    /// The earliest time at which the job can be claimed.
    pub not_before: Option<DateTime<Utc>>,
    /// Opaque to the queue.
    pub payload: Value,
}

impl NewJob {
    /// Creates a job without order, partition or delay.
    pub fn new(queue: impl Into<String>, key: impl Into<String>, payload: Value) -> Self {
        Self {
            queue: queue.into(),
            key: key.into(),
            order_key: None,
            partition: String::new(),
            throttle_key: String::new(),
            supersede_key: None,
            waited: Duration::ZERO,
            not_before: None,
            payload,
        }
    }

    /// Sets [`NewJob::order_key`].
    #[must_use]
    pub fn order_key(mut self, order_key: impl Into<String>) -> Self {
        self.order_key = Some(order_key.into());
        self
    }

    /// Sets [`NewJob::partition`].
    #[must_use]
    pub fn partition(mut self, partition: impl Into<String>) -> Self {
        self.partition = partition.into();
        self
    }

    /// Sets [`NewJob::throttle_key`].
    #[must_use]
    pub fn throttle_key(mut self, partition: impl Into<String>) -> Self {
        self.throttle_key = partition.into();
        self
    }

    /// Sets [`NewJob::supersede_key`].
    #[must_use]
    pub fn supersede_key(mut self, supersede_key: impl Into<String>) -> Self {
        self.supersede_key = Some(supersede_key.into());
        self
    }

    /// Sets [`NewJob::waited`].
    #[must_use]
    pub fn waited(mut self, length: Duration) -> Self {
        self.waited = length;
        self
    }

    /// Sets [`NewJob::not_before`].
    #[must_use]
    pub fn not_before(mut self, at: DateTime<Utc>) -> Self {
        self.not_before = Some(at);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_text("queue", &self.queue, true)?;
        check_text("key", &self.key, true)?;
        check_text("order_key", self.order_key.as_deref().unwrap_or(""), false)?;
        check_text("partition", &self.partition, false)?;
        check_text("throttle_key", &self.throttle_key, false)?;
        check_text(
            "supersede_key",
            self.supersede_key.as_deref().unwrap_or(""),
            false,
        )?;
        if self.supersede_key.is_some() && self.order_key.is_none() {
            return Err(Error::invalid(
                "a supersede_key needs an order_key, which decides the newer of two jobs",
            ));
        }
        Ok(())
    }
}

/// Names the field, never its value.
pub(crate) fn check_text(field: &str, text: &str, needed: bool) -> Result<()> {
    if needed && text.is_empty() {
        return Err(Error::invalid(format!("{field} is empty")));
    }
    if text.len() > KEY_MAX {
        return Err(Error::invalid(format!(
            "{field} has {} bytes; at most {KEY_MAX} are kept",
            text.len()
        )));
    }
    if text.contains('\0') {
        return Err(Error::invalid(format!("{field} holds a zero byte")));
    }
    Ok(())
}

impl fmt::Debug for NewJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob")
            .field("queue", &self.queue)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// The outcome of enqueueing one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The job is new.
    New(JobId),
    /// A job with this key already exists, open or finished. Nothing was changed.
    Duplicate(JobId),
}

impl Enqueued {
    /// The id of the job, new or existing.
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Duplicate(id) => id,
        }
    }
}

/// The result of [`Outbox::enqueue`](crate::Outbox::enqueue).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EnqueueReceipt {
    /// One entry per job, in the given order.
    pub jobs: Vec<Enqueued>,
    /// Older jobs that the new ones superseded.
    pub superseded: Vec<SupersededJob>,
}

/// An older job that a newer one superseded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupersededJob {
    /// The older job.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its idempotency key.
    pub key: String,
    /// The newer job.
    pub by: JobId,
}

/// Which jobs to claim, how many and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// The maximum number of jobs.
    pub limit: u32,
    /// How long the jobs are leased.
    pub lease: Duration,
    /// Which jobs can be claimed together.
    pub batch: BatchMode,
    /// Partitions to skip in this claim, for example because the caller is already working on them. Unlike a pause,
    /// this costs the database nothing.
    pub except: Vec<String>,
    /// The shard of partitions to claim from.
    pub shard: Shard,
    /// Claims only jobs that have been due for at least this long; zero claims all.
    pub overdue: Duration,
    /// Claims only jobs of this partition, however long they have waited. The caller has chosen it, for example from
    /// [`Outbox::waiting`](crate::Outbox::waiting); `batch`, `except`, `shard` and `overdue` have no effect then.
    pub partition: Option<String>,
}

/// A part of all partitions, chosen by hash. Several processes can each work on their own shard.
///
/// This is a preference, not a lock: a claim for another shard, or for all, can return the same jobs. SQLite, which one
/// process uses at a time, ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of shards.
    pub count: u32,
    /// The index of this shard, from 0.
    pub index: u32,
}

impl Shard {
    /// All partitions.
    pub const ALL: Self = Self { count: 1, index: 0 };
}

/// Which jobs a claim can return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchMode {
    /// Jobs of all partitions, oldest first.
    Mixed,
    /// Jobs of several partitions: all of the one whose oldest claimable job has waited longest, then all of the next, up to
    /// the limit. In a backlog of many partitions a batch has many jobs of a few of them, for a host that works on the jobs of
    /// one partition together.
    WholePartitions,
    /// Jobs of one partition: the one whose oldest claimable job has waited longest, if that is at least `gather`;
    /// otherwise one with enough jobs to fill the batch.
    SinglePartition {
        /// How long the first job of a batch waits for more jobs; zero does not wait.
        gather: Duration,
    },
}

impl ClaimRequest {
    /// Claims up to `limit` jobs of all partitions.
    pub fn mixed(limit: u32, lease: Duration) -> Self {
        Self::of(BatchMode::Mixed, limit, lease)
    }

    /// Claims up to `limit` jobs, all of one partition before those of the next ([`BatchMode::WholePartitions`]).
    pub fn whole_partitions(limit: u32, lease: Duration) -> Self {
        Self::of(BatchMode::WholePartitions, limit, lease)
    }

    /// Claims up to `limit` jobs of one partition.
    pub fn single_partition(limit: u32, lease: Duration, gather: Duration) -> Self {
        Self::of(BatchMode::SinglePartition { gather }, limit, lease)
    }

    fn of(batch: BatchMode, limit: u32, lease: Duration) -> Self {
        Self {
            limit,
            lease,
            batch,
            except: Vec::new(),
            shard: Shard::ALL,
            overdue: Duration::ZERO,
            partition: None,
        }
    }

    /// Sets [`ClaimRequest::except`].
    #[must_use]
    pub fn except(mut self, partitions: Vec<String>) -> Self {
        self.except = partitions;
        self
    }

    /// Sets [`ClaimRequest::shard`].
    #[must_use]
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Sets [`ClaimRequest::overdue`].
    #[must_use]
    pub fn overdue(mut self, length: Duration) -> Self {
        self.overdue = length;
        self
    }

    /// Sets [`ClaimRequest::partition`].
    #[must_use]
    pub fn partition(mut self, partition: impl Into<String>) -> Self {
        self.partition = Some(partition.into());
        self
    }
}

/// The claimable jobs of one partition, of those that [`Outbox::waiting`](crate::Outbox::waiting) looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingPartition {
    /// The partition.
    pub partition: String,
    /// How many of its jobs are claimable, at least.
    pub jobs: u64,
    /// How long the oldest of them has been due. Work that had waited before it was enqueued counts
    /// ([`NewJob::waited`]).
    pub oldest: Duration,
}

impl WaitingPartition {
    /// A partition with so many claimable jobs, the oldest of which has been due for so long.
    pub fn new(partition: impl Into<String>, jobs: u64, oldest: Duration) -> Self {
        Self {
            partition: partition.into(),
            jobs,
            oldest,
        }
    }
}

/// Proof that the caller claimed a job. It becomes invalid when the job is claimed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeaseToken {
    /// The job.
    pub id: JobId,
    /// The fence: increases with every claim.
    pub fence: i64,
    /// How many times the job has been claimed, including this claim. The backoff grows with it.
    pub attempts: u32,
}

/// A claimed job. Its `Debug` output shows neither payload nor keys.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClaimedJob {
    /// Completes, retries or releases the job.
    pub lease: LeaseToken,
    /// The idempotency key.
    pub key: String,
    /// The order key.
    pub order_key: Option<String>,
    /// The partition.
    pub partition: String,
    /// The throttle key.
    pub throttle_key: String,
    /// When it was enqueued, by the database's clock.
    pub enqueued_at: DateTime<Utc>,
    /// The previous holder's lease expired, so its side effects may have happened. Check before repeating them.
    pub lapsed: bool,
    /// The note of the last retry.
    pub note: Option<String>,
    /// The payload.
    pub payload: Value,
}

impl ClaimedJob {
    /// The id of the job.
    pub fn id(&self) -> JobId {
        self.lease.id
    }

    /// How many times the job has been claimed, including this claim.
    pub fn attempts(&self) -> u32 {
        self.lease.attempts
    }

    /// Deserializes the payload.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Corrupt`] if the payload has another form. The error names the job, not its content.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.payload).map_err(|_| {
            Error::new(
                ErrorKind::Corrupt,
                format!("job {}", self.id()),
                "its payload has an unexpected form; was it written by another version?",
            )
        })
    }
}

impl fmt::Debug for ClaimedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedJob")
            .field("lease", &self.lease)
            .field("partition", &self.partition)
            .field("lapsed", &self.lapsed)
            .finish_non_exhaustive()
    }
}

/// Which of the given jobs the caller still held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a lost lease must roll the transaction back: call `all` or look at `lost`"]
pub struct Settled {
    /// The jobs that were still leased by the caller and were changed.
    pub kept: HashSet<JobId>,
    /// The jobs that were not: another worker claimed them after the lease expired, or they are finished. They were not
    /// changed.
    pub lost: Vec<JobId>,
}

impl Settled {
    /// Turns a lost lease into an error, so that `?` rolls the host's transaction back.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Lost`] if any lease was lost.
    pub fn all(self) -> Result<()> {
        match self.lost.first() {
            None => Ok(()),
            Some(first) => Err(Error::new(
                ErrorKind::Lost,
                "the lease",
                format!(
                    "{} of {} jobs are no longer leased (first: job {first}); another worker claimed them, or they are \
                     finished",
                    self.lost.len(),
                    self.lost.len() + self.kept.len()
                ),
            )),
        }
    }
}

/// When a job is retried, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryAt {
    /// After a random delay below a bound that doubles with each attempt.
    Backoff,
    /// After the longer of [`RetryAt::Backoff`] and this delay, for example a `Retry-After` header.
    BackoffAtLeast(Duration),
    /// After exactly this delay.
    After(Duration),
    /// At this time.
    At(DateTime<Utc>),
}
