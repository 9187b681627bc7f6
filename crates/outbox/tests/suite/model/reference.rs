//! What the queue should do, without a database: times are hours, and everything is a walk over all jobs.

use std::collections::{BTreeMap, BTreeSet};

use outbox::{JobId, LeaseToken, NewJob};

pub(crate) type JobState = outbox::JobState;

/// Where an open job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    Waiting,
    Leased,
    Deferred,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) seq: i64,
    pub(crate) queue: String,
    pub(crate) key: String,
    pub(crate) line: Option<String>,
    pub(crate) partition: String,
    throttle_key: String,
    supersede: Option<String>,
    /// `None` when it is finished.
    pub(crate) open: Option<Open>,
    finished: Option<(JobState, i64)>,
    pub(crate) due: i64,
    pub(crate) run_at: i64,
    set_at: i64,
    fence: i64,
    pub(crate) attempts: u32,
    lapsed: bool,
}

impl Job {
    pub(crate) fn state(&self) -> JobState {
        match (self.open, self.finished) {
            (Some(Open::Waiting), _) => JobState::Waiting,
            (Some(Open::Leased), _) => JobState::Leased,
            (Some(Open::Deferred), _) => JobState::Paused,
            (None, Some((state, _))) => state,
            (None, None) => unreachable!("neither open nor finished"),
        }
    }

    pub(crate) fn finish(&mut self, now: i64, state: JobState) {
        self.open = None;
        self.finished = Some((state, now));
    }

    pub(crate) fn wait(&mut self, now: i64, due: i64) {
        self.open = Some(Open::Waiting);
        self.due = due;
        self.set_at = now;
    }

    pub(crate) fn hold(&mut self, now: i64, lease: i64) {
        self.open = Some(Open::Leased);
        self.due = now + lease;
        self.set_at = now;
    }

    fn in_partition(&self, partition: &str) -> bool {
        self.partition == partition || self.throttle_key == partition
    }
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) now: i64,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// Partition, until, and when it was set.
    pauses: BTreeMap<String, (i64, i64)>,
    /// When each worker last claimed.
    seen: BTreeMap<usize, i64>,
    last_seq: i64,
}

impl Model {
    pub(crate) fn known(&self, queue: &str, key: &str) -> Option<JobId> {
        self.jobs
            .iter()
            .find(|(_, job)| job.queue == queue && job.key == key)
            .map(|(id, _)| *id)
    }

    pub(crate) fn add(&mut self, id: JobId, job: &NewJob, not_before: Option<i64>) {
        let run_at = not_before.map_or(i64::MIN, |hours| self.now + hours);
        self.last_seq += 1;
        let job = Job {
            seq: self.last_seq,
            queue: job.queue.clone(),
            key: job.key.clone(),
            line: job.order_key.clone(),
            partition: job.partition.clone(),
            throttle_key: job.throttle_key.clone(),
            supersede: job.supersede_key.clone(),
            open: Some(Open::Waiting),
            finished: None,
            due: run_at.max(self.now),
            run_at,
            set_at: self.now,
            fence: 0,
            attempts: 0,
            lapsed: false,
        };
        self.jobs.insert(id, job);
    }

    /// Closes what the new jobs take the place of: the last of a call takes it from all before.
    pub(crate) fn supersede(&mut self, new: &[JobId]) -> Vec<(JobId, JobId)> {
        let mut superseded = BTreeMap::new();
        for by in new {
            let newer = self.jobs[by].clone();
            if newer.supersede.is_none() {
                continue;
            }
            for (id, job) in &mut self.jobs {
                let same = job.queue == newer.queue
                    && job.line == newer.line
                    && job.supersede == newer.supersede;
                let free = matches!(job.open, Some(Open::Waiting | Open::Deferred));
                if same && (free || superseded.contains_key(id)) && job.seq < newer.seq {
                    job.finish(self.now, JobState::Superseded);
                    superseded.insert(*id, *by);
                }
            }
        }
        superseded.into_iter().collect()
    }

    pub(crate) fn pause(&mut self, partition: &str, hours: i64) {
        let until = self.now + hours;
        let pause = self
            .pauses
            .entry(partition.to_owned())
            .or_insert((until, self.now));
        if until > pause.0 {
            *pause = (until, self.now);
        }
    }

    pub(crate) fn resume(&mut self, partition: &str) {
        self.pauses.remove(partition);
        let now = self.now;
        for job in self
            .jobs
            .values_mut()
            .filter(|job| job.in_partition(partition))
        {
            if job.open == Some(Open::Deferred) {
                job.wait(now, job.run_at.max(now));
            }
        }
    }

    fn paused_until(&self, job: &Job) -> Option<i64> {
        self.pauses
            .iter()
            .filter(|(partition, (until, _))| job.in_partition(partition) && *until > self.now)
            .map(|(_, (until, _))| *until)
            .max()
    }

    /// What a claim does before it picks: a clock that was set back is noticed, jobs of paused partitions are put aside.
    pub(crate) fn before_claim(&mut self, worker: usize, queue: &str) {
        let now = self.now;
        let before = self.seen.insert(worker, now);
        if before.is_none_or(|before| now < before) {
            for job in self.jobs.values_mut() {
                if job.open.is_some() && job.set_at > now && job.due > now {
                    job.due = job.run_at.max(now + (job.due - job.set_at));
                    job.set_at = now;
                }
            }
            for pause in self.pauses.values_mut() {
                if pause.1 > now && pause.0 > now {
                    *pause = (now + (pause.0 - pause.1), now);
                }
            }
        }
        let deferred: Vec<(JobId, i64)> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.queue == queue && job.due <= now)
            .filter(|(_, job)| matches!(job.open, Some(Open::Waiting | Open::Deferred)))
            .filter_map(|(id, job)| Some((*id, self.paused_until(job)?)))
            .collect();
        for (id, until) in deferred {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.wait(now, until);
                job.open = Some(Open::Deferred);
            }
        }
    }

    /// Due, in no paused partition, and first in its line.
    pub(crate) fn claimable(&self, queue: &str) -> BTreeSet<JobId> {
        self.jobs
            .iter()
            .filter(|(_, job)| job.queue == queue && job.open.is_some() && job.due <= self.now)
            .filter(|(_, job)| self.paused_until(job).is_none())
            .filter(|(_, job)| {
                job.line.is_none()
                    || !self.jobs.values().any(|older| {
                        older.queue == job.queue
                            && older.line == job.line
                            && older.open.is_some()
                            && older.seq < job.seq
                    })
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// Takes it, and says its attempts and whether a holder vanished. Its fence is higher than any before.
    pub(crate) fn claim(&mut self, id: JobId, fence: i64, lease: i64) -> (u32, bool) {
        let now = self.now;
        let job = self.jobs.get_mut(&id).unwrap();
        assert!(fence > job.fence, "a fence used twice");
        job.fence = fence;
        job.lapsed |= job.open == Some(Open::Leased);
        job.hold(now, lease);
        job.attempts += 1;
        (job.attempts, job.lapsed)
    }

    /// The job, if this is its latest claim and it is still held.
    pub(crate) fn held(&mut self, held: LeaseToken) -> Option<&mut Job> {
        let job = self.jobs.get_mut(&held.id)?;
        (job.open == Some(Open::Leased) && job.fence == held.fence).then_some(job)
    }

    pub(crate) fn retry_dead(&mut self, id: JobId) -> Vec<JobId> {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else {
            return Vec::new();
        };
        if !matches!(job.finished, Some((JobState::Dead, _))) {
            return Vec::new();
        }
        self.last_seq += 1;
        job.seq = self.last_seq;
        job.finished = None;
        job.attempts = 0;
        job.wait(now, job.run_at.max(now));
        vec![id]
    }

    pub(crate) fn discard(&mut self, id: JobId) -> Vec<JobId> {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else {
            return Vec::new();
        };
        let may = match job.open {
            Some(Open::Leased) => job.due <= now,
            Some(_) => true,
            None => matches!(job.finished, Some((JobState::Dead, _))),
        };
        if !may {
            return Vec::new();
        }
        job.finish(now, JobState::Discarded);
        vec![id]
    }

    pub(crate) fn prune(&mut self, hours: i64) -> u64 {
        let before = self.jobs.len();
        let now = self.now;
        self.pauses.retain(|_, (until, _)| *until > now);
        self.jobs.retain(|_, job| {
            !matches!(job.finished, Some((state, at)) if state != JobState::Dead && now - at > hours)
        });
        (before - self.jobs.len()) as u64
    }
}
