//! What goes into a queue and what comes out of it.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// Longest queue name, key or lane, in bytes: PostgreSQL's index rows end at some 2,700.
pub const KEY_MAX: usize = 512;

/// A job's number, unique in the database and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A job to be enqueued. Its `Debug` shows queue and lane only.
#[derive(Clone, PartialEq)]
pub struct NewJob {
    /// The queue, such as `"send"`.
    pub queue: String,
    /// Idempotency key: the same key again in the same queue is the same job, until retention forgets it.
    pub key: String,
    /// Of the open jobs of one order key in one queue only the oldest is claimable. `None`: no order.
    ///
    /// On PostgreSQL lines whose keys begin alike, up to the first slash, are added to by one transaction at a time: a
    /// batch for a few owners, such as `school/pupil`, then costs a few locks and keeps no others waiting.
    pub order_key: Option<String>,
    /// What a batch is made of, and what can be paused. Empty: none.
    pub lane: String,
    /// Another thing that can be paused, such as a token that several lanes share. Empty: none.
    pub second_lane: String,
    /// Older jobs of the same queue, order key and supersede key that nobody holds are closed as superseded. Needs an `order_key`.
    pub supersede_key: Option<String>,
    /// How long it has waited already, before it came into this queue. That counts where a batch waits for company, and
    /// puts it before what came in later.
    pub waited: Duration,
    /// Not claimable before this time.
    pub not_before: Option<DateTime<Utc>>,
    /// What is to be done; the queue does not look inside.
    pub payload: Value,
}

impl NewJob {
    /// A job with nothing but the necessary.
    pub fn new(queue: impl Into<String>, key: impl Into<String>, payload: Value) -> Self {
        Self {
            queue: queue.into(),
            key: key.into(),
            order_key: None,
            lane: String::new(),
            second_lane: String::new(),
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

    /// Sets [`NewJob::lane`].
    #[must_use]
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.lane = lane.into();
        self
    }

    /// Sets [`NewJob::second_lane`].
    #[must_use]
    pub fn second_lane(mut self, lane: impl Into<String>) -> Self {
        self.second_lane = lane.into();
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
        check_text("lane", &self.lane, false)?;
        check_text("second_lane", &self.second_lane, false)?;
        check_text(
            "supersede_key",
            self.supersede_key.as_deref().unwrap_or(""),
            false,
        )?;
        if self.supersede_key.is_some() && self.order_key.is_none() {
            return Err(Error::invalid(
                "a supersede_key needs an order_key: only in one line is it clear which job is the newer",
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
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

/// What became of one job given to `enqueue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is new.
    New(JobId),
    /// Its key was there already, open or finished; nothing was changed.
    Seen(JobId),
}

impl Enqueued {
    /// The job's number, new or not.
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Seen(id) => id,
        }
    }
}

/// The answer to `enqueue`.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    /// One for each job given, in that order.
    pub jobs: Vec<Enqueued>,
    /// Older jobs that the new ones took the place of.
    pub superseded: Vec<Superseded>,
}

/// An older job whose place a newer one took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The older job.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its idempotency key.
    pub key: String,
    /// The newer job.
    pub by: JobId,
}

/// What to claim.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// At most this many jobs.
    pub limit: u32,
    /// How long they are held before others may take them.
    pub lease: Duration,
    /// Which jobs go together.
    pub batch: Batch,
    /// Lanes that are left alone. Unlike a pause it costs the store nothing, and holds for this claim only: for a lane of
    /// which the caller has enough in hand.
    pub except: Vec<String>,
    /// The part of the lanes that the claim is for.
    pub share: Share,
    /// Only jobs that have been due for this long; zero for all.
    pub overdue: Duration,
}

/// A part of all lanes, so that of several processes each knows some lanes well instead of all a little. It is a
/// preference and no lock: whoever claims with another share, or with none, gets the same jobs. On SQLite, where one
/// process works, it means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// How many parts there are.
    pub parts: u32,
    /// Which of them, from 0.
    pub part: u32,
}

impl Share {
    /// All lanes.
    pub const ALL: Self = Self { parts: 1, part: 0 };
}

/// Which jobs a claim puts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Jobs of any lane, oldest first.
    Mixed,
    /// Jobs of one lane: the one whose oldest claimable job has been waiting longest, once that job has waited for
    /// `gather`, or else one that fills the batch.
    OneLane {
        /// How long the first job of a batch waits for company; zero for not at all.
        gather: Duration,
    },
}

impl ClaimRequest {
    /// Up to `limit` jobs of any lane.
    pub fn mixed(limit: u32, lease: Duration) -> Self {
        Self {
            limit,
            lease,
            batch: Batch::Mixed,
            except: Vec::new(),
            share: Share::ALL,
            overdue: Duration::ZERO,
        }
    }

    /// Up to `limit` jobs of one lane.
    pub fn one_lane(limit: u32, lease: Duration, gather: Duration) -> Self {
        Self {
            limit,
            lease,
            batch: Batch::OneLane { gather },
            except: Vec::new(),
            share: Share::ALL,
            overdue: Duration::ZERO,
        }
    }

    /// Sets [`ClaimRequest::except`].
    #[must_use]
    pub fn except(mut self, lanes: Vec<String>) -> Self {
        self.except = lanes;
        self
    }

    /// Sets [`ClaimRequest::share`].
    #[must_use]
    pub fn share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// Sets [`ClaimRequest::overdue`].
    #[must_use]
    pub fn overdue(mut self, length: Duration) -> Self {
        self.overdue = length;
        self
    }
}

/// Proof that a job was claimed: good until somebody else claims it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The job.
    pub id: JobId,
    /// Which claim of it this was.
    pub fence: i64,
    /// How often it was claimed, this time included; the backoff grows with it.
    pub attempts: u32,
}

/// A claimed job. Its `Debug` shows no payload and no keys.
#[derive(Clone)]
pub struct Claimed {
    /// To be given back when done.
    pub held: Held,
    /// The idempotency key.
    pub key: String,
    /// The order key.
    pub order_key: Option<String>,
    /// The lane.
    pub lane: String,
    /// The second lane.
    pub second_lane: String,
    /// When it was enqueued, in the store's time.
    pub enqueued_at: DateTime<Utc>,
    /// The holder before let the lease lapse: nobody knows how far they came. Look before you repeat.
    pub lapsed: bool,
    /// What was said when it was last retried or handed back.
    pub note: Option<String>,
    /// What is to be done.
    pub payload: Value,
}

impl Claimed {
    /// The job's number.
    pub fn id(&self) -> JobId {
        self.held.id
    }

    /// How often it was claimed, this time included.
    pub fn attempts(&self) -> u32 {
        self.held.attempts
    }

    /// The payload as a type.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it does not fit; the error names the job, not what is in it.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.payload).map_err(|_| {
            Error::new(
                ErrorKind::Corrupt,
                format!("job {}", self.id()),
                "its payload does not have the form it should; was it written by another version?",
            )
        })
    }
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed")
            .field("held", &self.held)
            .field("lane", &self.lane)
            .field("lapsed", &self.lapsed)
            .finish_non_exhaustive()
    }
}

/// Which of the jobs given were still held by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// These were, and it is done.
    pub kept: HashSet<JobId>,
    /// These were not: the lease lapsed and somebody else claimed them, or they are finished. Nothing was changed.
    pub lost: Vec<JobId>,
}

impl Settled {
    /// Insists that nothing was lost, so that a host's transaction ends with `?` and is rolled back.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`].
    pub fn all(self) -> Result<()> {
        match self.lost.first() {
            None => Ok(()),
            Some(first) => Err(Error::new(
                ErrorKind::Lost,
                "the lease",
                format!(
                    "{} of {} jobs are no longer held, the first of them is {first}: another worker has them, or \
                     they are finished",
                    self.lost.len(),
                    self.lost.len() + self.kept.len()
                ),
            )),
        }
    }
}

/// When a job is to be tried again, in the store's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After a random time, up to an amount that doubles with each attempt.
    Backoff,
    /// As [`When::Backoff`], but not before this has passed (`Retry-After`): the longer wins.
    BackoffAtLeast(Duration),
    /// After exactly this.
    After(Duration),
    /// At this time.
    At(DateTime<Utc>),
}
