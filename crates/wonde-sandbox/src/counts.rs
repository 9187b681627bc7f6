//! Counts of requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Requests to the API since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestCounts {
    /// All requests to the API.
    pub total: u64,
    /// By method and kind of address, such as `POST attendance/session`.
    pub by_kind: BTreeMap<String, u64>,
    /// By status of the response; cut connections count as 0.
    pub by_status: BTreeMap<u16, u64>,
    /// Marks in accepted registers.
    pub marks_accepted: u64,
    /// Faults that occurred, by name.
    pub faults: BTreeMap<String, u64>,
    /// Webhooks that were delivered.
    pub webhooks: u64,
    /// Webhooks that were not delivered: no response, or a status other than 2xx.
    pub webhooks_lost: u64,
}

/// The running counts.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<RequestCounts>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, RequestCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn request(&self, verb: &str, kind: &str) {
        let mut counts = self.lock();
        counts.total += 1;
        *counts.by_kind.entry(format!("{verb} {kind}")).or_default() += 1;
    }

    pub(crate) fn answer(&self, status: u16) {
        *self.lock().by_status.entry(status).or_default() += 1;
    }

    pub(crate) fn marks(&self, count: usize) {
        self.lock().marks_accepted += count as u64;
    }

    pub(crate) fn fault(&self, name: &str) {
        *self.lock().faults.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn webhook(&self, arrived: bool) {
        let mut counts = self.lock();
        if arrived {
            counts.webhooks += 1;
        } else {
            counts.webhooks_lost += 1;
        }
    }

    pub(crate) fn get(&self) -> RequestCounts {
        self.lock().clone()
    }

    pub(crate) fn reset(&self) {
        *self.lock() = RequestCounts::default();
    }
}
