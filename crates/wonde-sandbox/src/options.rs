//! How a sandbox is set up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use crate::faults::FaultRule;

/// Tells the sandbox what time it is. Everything that takes time in the sandbox goes by it.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What a sandbox starts with. Two sandboxes with the same options and the same clock give the same bytes.
#[derive(Clone)]
pub struct SandboxOptions {
    /// All people, ids and timetables come from this number.
    pub seed: u64,
    /// How many schools, from 1 to 50,000. A school costs next to nothing until somebody looks inside.
    pub schools: u32,
    /// Pupils at each school, up to 10,000.
    pub pupils_per_school: u32,
    /// The clock that all delays go by.
    pub clock: Clock,
    /// The day that leavers, starters and the days before are arranged around; the clock's date when absent.
    pub start_date: Option<NaiveDate>,
    /// From the acceptance of a register until the MIS has it.
    pub write_delay: Duration,
    /// Between two renewals of the API's copy of the register; zero keeps it always fresh.
    pub extraction_every: Duration,
    /// Whole registers of school days before the start.
    pub history_days: u32,
    /// Larger `per_page` values are cut to this.
    pub per_page_max: u32,
    /// True lets a register through in which a pupil, code or lesson is unknown: only that mark fails, later. False refuses the
    /// register with 422.
    pub partial: bool,
    /// More marks in one register are refused with 422. `None` takes any number.
    pub register_max: Option<usize>,
    /// Requests a minute that each token has; above that the answer is 429.
    pub rate_limit: Option<u32>,
    /// Whether a 429 of the rate limit says when to come back.
    pub rate_limit_header: bool,
    /// Port of the main address on loopback; 0 takes any that is free.
    pub port: u16,
    /// Faults from the start on.
    pub faults: Vec<FaultRule>,
    /// Where webhooks go: an `http` address on loopback.
    pub webhook_url: Option<String>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            seed: 7,
            schools: 3,
            pupils_per_school: 240,
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
            .field("start_date", &self.start_date)
            .field("write_delay", &self.write_delay)
            .field("extraction_every", &self.extraction_every)
            .finish_non_exhaustive()
    }
}
