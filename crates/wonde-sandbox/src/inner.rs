//! The shared state of a running sandbox.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::counts::Counts;
use crate::error::Error;
use crate::faults::Faults;
use crate::ids::{Ids, Kind, MAX_SCHOOLS};
use crate::options::SandboxOptions;
use crate::school::{Ground, School};
use crate::webhooks::{self, Hook};
use crate::wire;

/// The schools that a token gives access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bearer {
    All,
    School(u32),
}

/// The state behind all addresses of one sandbox.
pub(crate) struct Inner {
    pub(crate) options: SandboxOptions,
    pub(crate) ids: Ids,
    pub(crate) counts: Counts,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) hooks: Option<UnboundedSender<Hook>>,
    schools: Vec<Mutex<School>>,
    /// How far the sandbox's time is ahead of its clock.
    ahead_ms: AtomicI64,
    write_delay_ms: AtomicI64,
    domains: OnceLock<Vec<String>>,
    revoked: Mutex<BTreeSet<String>>,
    spent: Mutex<HashMap<Bearer, (i64, u32)>>,
    post: Mutex<Post>,
}

/// How webhooks are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookMode {
    /// Each once, in order.
    #[default]
    Once,
    /// Each twice.
    Twice,
    /// Kept back until another mode is set; then the newest goes first.
    Held,
}

#[derive(Default)]
struct Post {
    mode: WebhookMode,
    held: Vec<Value>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn new(
        options: SandboxOptions,
        hooks: Option<UnboundedSender<Hook>>,
    ) -> Result<Self, Error> {
        check(&options)?;
        let start = (options.clock)();
        let ids = Ids::new(options.seed);
        let ground = Ground {
            seed: options.seed,
            pupils: options.pupils_per_school,
            pupils_of_smallest: options.pupils_of_smallest,
            history_days: options.history_days,
            today: options.start_date.unwrap_or_else(|| start.date_naive()),
            start,
            extraction_every: delta(options.extraction_every),
            ids,
        };
        let mut faults = Faults::default();
        faults.add(options.faults.iter().cloned());
        Ok(Self {
            ids,
            counts: Counts::default(),
            faults: Mutex::new(faults),
            hooks,
            schools: (0..options.schools)
                .map(|n| Mutex::new(School::new(n, ground)))
                .collect(),
            ahead_ms: AtomicI64::new(0),
            write_delay_ms: AtomicI64::new(delta(options.write_delay).num_milliseconds()),
            domains: OnceLock::new(),
            revoked: Mutex::default(),
            spent: Mutex::default(),
            post: Mutex::default(),
            options,
        })
    }

    /// The time in the sandbox.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::milliseconds(self.ahead_ms.load(Ordering::SeqCst));
        (self.options.clock)() + ahead
    }

    /// Puts the sandbox's clock forward.
    pub(crate) fn put_forward(&self, by: TimeDelta) {
        self.ahead_ms
            .fetch_add(by.num_milliseconds().max(0), Ordering::SeqCst);
    }

    pub(crate) fn write_delay(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.write_delay_ms.load(Ordering::SeqCst))
    }

    pub(crate) fn set_write_delay(&self, delay: std::time::Duration) {
        self.write_delay_ms
            .store(delta(delay).num_milliseconds(), Ordering::SeqCst);
    }

    /// Hosts of both regions, once they are known.
    pub(crate) fn domains(&self) -> Vec<String> {
        self.domains.get().cloned().unwrap_or_default()
    }

    pub(crate) fn set_domains(&self, domains: Vec<String>) {
        // Set once, before the first request.
        let _ = self.domains.set(domains);
    }

    pub(crate) fn school_count(&self) -> u32 {
        self.options.schools
    }

    pub(crate) fn school(&self, n: u32) -> Option<&Mutex<School>> {
        self.schools.get(n as usize)
    }

    /// A school in its current state: its people may not exist yet, and due changes are not applied.
    pub(crate) fn asleep(&self, n: u32) -> Option<MutexGuard<'_, School>> {
        self.school(n).map(lock)
    }

    /// A school with all due changes applied.
    pub(crate) fn awake(&self, n: u32, now: DateTime<Utc>) -> Option<MutexGuard<'_, School>> {
        let mut school = self.asleep(n)?;
        school.wake(now);
        let settled = std::mem::take(&mut school.settled);
        if self.hooks.is_some() {
            for s in settled {
                let id = wire::writeback_id(&school, s.number);
                self.send(webhooks::writeback(&id, &s.status, wire::sort(s.sort)));
            }
        }
        Some(school)
    }

    /// Applies due changes at schools with waiting writebacks.
    pub(crate) fn settle_all(&self) {
        let now = self.now();
        for n in 0..self.school_count() {
            let waits = self.asleep(n).is_some_and(|s| s.writebacks.waiting() > 0);
            if waits {
                drop(self.awake(n, now));
            }
        }
    }

    /// Sends a webhook in the current mode.
    pub(crate) fn send(&self, payload: Value) {
        let Some(hooks) = &self.hooks else { return };
        let mut post = lock(&self.post);
        let copies = match post.mode {
            WebhookMode::Held => {
                post.held.push(payload);
                return;
            }
            WebhookMode::Once => 1,
            WebhookMode::Twice => 2,
        };
        for _ in 0..copies {
            // The receiver is only gone if the sandbox is stopping.
            let _ = hooks.send(Hook {
                payload: payload.clone(),
            });
        }
    }

    /// Changes how webhooks are sent. Held webhooks are sent, newest first.
    pub(crate) fn set_webhook_mode(&self, mode: WebhookMode) {
        let held = {
            let mut post = lock(&self.post);
            post.mode = mode;
            match mode {
                WebhookMode::Held => Vec::new(),
                _ => std::mem::take(&mut post.held),
            }
        };
        for payload in held.into_iter().rev() {
            self.send(payload);
        }
    }

    /// The token for all schools.
    pub(crate) fn token(&self) -> String {
        format!("sandbox-{:016x}", self.options.seed ^ 0x5bd1_e995_7f4a_7c15)
    }

    /// The token for one school.
    pub(crate) fn school_token(&self, n: u32) -> String {
        format!("{}-{}", self.token(), self.ids.text(n, Kind::School, 0))
    }

    /// Revokes a token or restores it.
    pub(crate) fn set_revoked(&self, token: &str, revoked: bool) {
        let mut all = lock(&self.revoked);
        if revoked {
            all.insert(token.to_owned());
        } else {
            all.remove(token);
        }
    }

    /// The access of an `Authorization` header: a bearer token, or Basic with the token as user and no password.
    pub(crate) fn bearer(&self, header: &str) -> Option<Bearer> {
        let (scheme, credentials) = header.split_once(' ')?;
        let credentials = credentials.trim();
        let token = if scheme.eq_ignore_ascii_case("bearer") {
            credentials.to_owned()
        } else if scheme.eq_ignore_ascii_case("basic") {
            // Wonde's Ruby client sends the unencoded token when it writes.
            let decoded = STANDARD
                .decode(credentials)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            match decoded {
                Some(decoded) => decoded.strip_suffix(':')?.to_owned(),
                None => credentials.to_owned(),
            }
        } else {
            return None;
        };
        if lock(&self.revoked).contains(&token) {
            return None;
        }
        let rest = token.strip_prefix(&self.token())?;
        if rest.is_empty() {
            return Some(Bearer::All);
        }
        let (n, _) = self.ids.read(rest.strip_prefix('-')?, Kind::School)?;
        self.school(n).map(|_| Bearer::School(n))
    }

    /// Counts a request of a token. Returns the seconds until the next minute if the limit is reached.
    pub(crate) fn spend(&self, bearer: Bearer, now: DateTime<Utc>) -> Result<(), u32> {
        let Some(limit) = self.options.rate_limit else {
            return Ok(());
        };
        let minute = now.timestamp().div_euclid(60);
        let mut spent = lock(&self.spent);
        let entry = spent.entry(bearer).or_insert((minute, 0));
        if entry.0 != minute {
            *entry = (minute, 0);
        }
        if entry.1 >= limit {
            return Err(u32::try_from(60 - now.timestamp().rem_euclid(60)).unwrap_or(60));
        }
        entry.1 += 1;
        Ok(())
    }
}

/// Converts a duration; excessive ones become a thousand years.
pub(crate) fn delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration)
        .unwrap_or(TimeDelta::MAX)
        .min(TimeDelta::days(365_000))
}

fn check(options: &SandboxOptions) -> Result<(), Error> {
    let wrong = |option, problem: String| Err(Error::Option { option, problem });
    if !(1..=MAX_SCHOOLS).contains(&options.schools) {
        return wrong(
            "schools",
            format!("{} is not from 1 to {MAX_SCHOOLS}", options.schools),
        );
    }
    if !(1..=10_000).contains(&options.pupils_per_school) {
        let n = options.pupils_per_school;
        return wrong("pupils_per_school", format!("{n} is not from 1 to 10000"));
    }
    let largest = options.pupils_per_school;
    if let Some(smallest) = options.pupils_of_smallest
        && !(1..=largest).contains(&smallest)
    {
        return wrong(
            "pupils_of_smallest",
            format!("{smallest} is not from 1 to {largest}, the pupils of the largest school"),
        );
    }
    if options.per_page_max == 0 {
        return wrong("per_page_max", "must be at least 1".to_owned());
    }
    if options.history_days > 200 {
        return wrong("history_days", "must not be more than 200".to_owned());
    }
    for rule in &options.faults {
        if let Some(problem) = rule.problem() {
            return wrong("faults", problem);
        }
    }
    if let Some(url) = &options.webhook_url {
        webhooks::check(url)?;
    }
    Ok(())
}
