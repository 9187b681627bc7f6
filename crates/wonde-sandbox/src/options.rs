//! The options of a sandbox.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use crate::faults::FaultRule;

/// Returns the current time. All delays in the sandbox use it.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The options of a sandbox. Two sandboxes with the same options and clock return the same bytes.
#[derive(Clone)]
pub struct SandboxOptions {
    /// The seed of all people, ids and timetables.
    pub seed: u64,
    /// The number of schools, from 1 to 50,000. A school costs almost nothing until it is accessed.
    pub schools: u32,
    /// The number of pupils per school, up to 10,000.
    pub pupils_per_school: u32,
    /// The number of pupils of the smallest school. If it is set, the sizes of schools differ, from this number to
    /// [`pupils_per_school`](Self::pupils_per_school), with more small schools than large ones (even on a logarithmic scale).
    pub pupils_of_smallest: Option<u32>,
    /// The clock for all delays.
    pub clock: Clock,
    /// The day on which leavers, starters and the register's history are based; the clock's date by default.
    pub start_date: Option<NaiveDate>,
    /// The delay from accepting a register to writing it into the MIS.
    pub write_delay: Duration,
    /// The interval between extractions of the register; zero keeps the API's copy up to date.
    pub extraction_every: Duration,
    /// The number of school days before the start that have a full register.
    pub history_days: u32,
    /// The maximum `per_page`; larger values are reduced to it.
    pub per_page_max: u32,
    /// If true, a register with an unknown pupil, code or lesson is accepted and only that mark fails later. If false,
    /// the register is rejected with 422.
    pub partial: bool,
    /// The maximum number of marks per register, above which it is rejected with 422. `None` means no limit.
    pub register_max: Option<usize>,
    /// The number of requests per minute and token, above which the response is 429.
    pub rate_limit: Option<u32>,
    /// Whether a 429 of the rate limit has `Retry-After`.
    pub rate_limit_header: bool,
    /// The port of the main address on loopback; 0 picks a free one.
    pub port: u16,
    /// The initial fault rules.
    pub faults: Vec<FaultRule>,
    /// The address for webhooks: `http` on loopback.
    pub webhook_url: Option<String>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            seed: 7,
            schools: 3,
            pupils_per_school: 240,
            pupils_of_smallest: None,
            clock: Arc::new(Utc::now),
            start_date: None,
            write_delay: Duration::from_secs(2),
            extraction_every: Duration::from_secs(3_600),
            history_days: 1,
            per_page_max: 200,
            partial: false,
            register_max: None,
            rate_limit: None,
            rate_limit_header: true,
            port: 0,
            faults: Vec::new(),
            webhook_url: None,
        }
    }
}

impl fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("seed", &self.seed)
            .field("schools", &self.schools)
            .field("pupils_per_school", &self.pupils_per_school)
            .field("pupils_of_smallest", &self.pupils_of_smallest)
            .field("start_date", &self.start_date)
            .field("write_delay", &self.write_delay)
            .field("extraction_every", &self.extraction_every)
            .finish_non_exhaustive()
    }
}
