//! Metrics by name. Labels never contain a pupil, a school or a token; a token's label is the place where the settings say
//! that it is kept.
//!
//! The helpers do nothing until a recorder is installed, which `serve` does.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use chrono::{DateTime, TimeDelta, Utc};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use outbox::{Pause, QueueStats};

use crate::{
    endpoints::{Endpoint, EndpointState},
    queues,
    store::{EventState, EventUpdate, OpenEvents, Pruned},
};

const EVENTS: &str = "markback_events_total";
const INTAKE: &str = "markback_intake_seconds";
const SEND_MARKS: &str = "markback_send_marks";
const ACCEPTED: &str = "markback_accepted_seconds";
const CONFIRMED: &str = "markback_confirmed_seconds";
const REQUESTS: &str = "markback_wonde_requests_total";
const TOKEN_REQUESTS: &str = "markback_token_requests_total";
const REQUEST_SECONDS: &str = "markback_wonde_request_seconds";
const PERMIT_SECONDS: &str = "markback_wonde_permit_wait_seconds";
const WEBHOOKS: &str = "markback_webhooks_total";
const DELIVERIES: &str = "markback_webhook_deliveries_total";
const ENDPOINTS: &str = "markback_webhook_endpoints";
const PRUNED: &str = "markback_pruned_total";
const WRONG_KEYS: &str = "markback_wrong_keys_total";
const WRONG_PASSWORDS: &str = "markback_wrong_passwords_total";
const TURNED_AWAY: &str = "markback_turned_away_total";
const QUEUE_JOBS: &str = "markback_queue_jobs";
const QUEUE_OLDEST: &str = "markback_queue_oldest_seconds";
const OPEN_EVENTS: &str = "markback_open_events";
const OPEN_OLDEST: &str = "markback_open_events_oldest_seconds";
const PAUSES: &str = "markback_pauses";
const UNREAD: &str = "markback_people_unread_total";
const RELOADS: &str = "markback_settings_reloads_total";
const REFUSED: &str = "markback_settings_file_refused";
const SCHOOLS: &str = "markback_schools";
const SCHOOLS_READ: &str = "markback_schools_read";
const CALENDARS_UNREAD: &str = "markback_calendars_unread";

/// Buckets from a commit on a fast disk to a database that hardly keeps up.
const STORING: [f64; 11] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 5.0,
];
/// Buckets from a single mark to the largest register.
const MARKS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
/// Buckets from immediately to half a day.
const LONG: [f64; 14] = [
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 7200.0, 14400.0, 43200.0,
];
/// Buckets from a local exchange to a time-out.
const SHORT: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0,
];

/// The recorder of the metrics. One per process.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

/// Starts recording. A second call returns the same recorder.
///
/// # Errors
/// Returns an error if the host has installed its own recorder.
pub fn install() -> Result<Metrics, BuildError> {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    if let Some(metrics) = INSTALLED.get() {
        return Ok(metrics.clone());
    }
    let buckets = |builder: PrometheusBuilder, name: &str, values: &[f64]| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), values)
    };
    let mut builder = buckets(PrometheusBuilder::new(), SEND_MARKS, &MARKS)?;
    builder = buckets(builder, INTAKE, &STORING)?;
    for name in [ACCEPTED, CONFIRMED] {
        builder = buckets(builder, name, &LONG)?;
    }
    for name in [REQUEST_SECONDS, PERMIT_SECONDS] {
        builder = buckets(builder, name, &SHORT)?;
    }
    let metrics = Metrics(builder.install_recorder()?);
    describe();
    begin_at_zero();
    Ok(INSTALLED.get_or_init(|| metrics).clone())
}

impl Metrics {
    /// All metrics in Prometheus's text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds recorded samples into the histograms, so that they do not accumulate while nobody scrapes.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Values that are read for each scrape rather than counted.
#[derive(Debug, Default)]
pub struct Levels {
    /// The queues by name.
    pub queues: BTreeMap<String, QueueStats>,
    /// Open events by state.
    pub open: Vec<OpenEvents>,
    /// Paused schools and tokens.
    pub pauses: Vec<Pause>,
    /// Schools of the settings.
    pub schools: usize,
    /// Schools whose people have been read.
    pub schools_read: usize,
    /// Schools whose iCalendar could not be read at the last try.
    pub calendars_unread: usize,
    /// The endpoints for webhooks.
    pub endpoints: Vec<Endpoint>,
    /// The present time.
    pub now: DateTime<Utc>,
}

impl Levels {
    /// Sets the gauges, including those that are zero.
    #[allow(
        clippy::cast_precision_loss,
        reason = "nobody counts beyond 2^52 in a gauge"
    )]
    pub fn set(&self) {
        for name in queues::ALL {
            let stats = self.queues.get(name).cloned().unwrap_or_default();
            for (state, jobs) in [
                ("ready", stats.ready),
                ("later", stats.later),
                ("paused", stats.paused),
                ("leased", stats.leased),
                ("lapsed", stats.lapsed),
                ("dead", stats.dead),
            ] {
                gauge!(QUEUE_JOBS, "queue" => name, "state" => state).set(jobs as f64);
            }
            let oldest = stats.oldest_open.unwrap_or_default();
            gauge!(QUEUE_OLDEST, "queue" => name).set(oldest.as_secs_f64());
        }
        for state in EventState::ALL
            .iter()
            .copied()
            .filter(|state| !state.is_final())
        {
            let found = self.open.iter().find(|open| open.state == state);
            let oldest = found.and_then(|open| open.oldest);
            let age = oldest.map_or(0.0, |oldest| seconds(self.now - oldest));
            let count = found.map_or(0, |open| open.count);
            gauge!(OPEN_EVENTS, "state" => state.as_str()).set(count as f64);
            gauge!(OPEN_OLDEST, "state" => state.as_str()).set(age);
        }
        let tokens = self
            .pauses
            .iter()
            .filter(|pause| pause.key.starts_with("token:"))
            .count();
        gauge!(PAUSES, "of" => "token").set(tokens as f64);
        gauge!(PAUSES, "of" => "school").set((self.pauses.len() - tokens) as f64);
        for state in [
            EndpointState::Active,
            EndpointState::Disabled,
            EndpointState::Gone,
            EndpointState::Dead,
        ] {
            let of_state = self
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.state == state);
            gauge!(ENDPOINTS, "state" => state.as_str()).set(of_state.count() as f64);
        }
        gauge!(SCHOOLS).set(self.schools as f64);
        gauge!(SCHOOLS_READ).set(self.schools_read as f64);
        gauge!(CALENDARS_UNREAD).set(self.calendars_unread as f64);
    }
}

/// Counts events that reached this state.
pub(crate) fn events(state: EventState, count: usize) {
    if count > 0 {
        counter!(EVENTS, "state" => state.as_str()).increment(count as u64);
    }
}

/// Counts events that reached new states. Call it after the commit, not before.
pub(crate) fn news<'a>(updates: impl IntoIterator<Item = &'a EventUpdate>) {
    let mut counts: BTreeMap<EventState, usize> = BTreeMap::new();
    for state in updates.into_iter().filter_map(|update| update.state) {
        *counts.entry(state).or_default() += 1;
    }
    for (state, count) in counts {
        events(state, count);
    }
}

/// A part of the time that intake takes.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum IntakePart {
    /// A request waits for the transaction before.
    Queue,
    /// The transaction waits for a connection, which on SQLite is the only one that writes.
    Connection,
    /// The events are stored.
    Statements,
    /// The transaction is written to the disk.
    Commit,
}

/// Records how long a part of intake took.
pub(crate) fn intake(part: IntakePart, took: Duration) {
    let part: &'static str = part.into();
    histogram!(INTAKE, "part" => part).record(took.as_secs_f64());
}

/// Records a sent register of so many marks.
#[allow(clippy::cast_precision_loss, reason = "no register is that long")]
pub(crate) fn sent(marks: usize) {
    histogram!(SEND_MARKS).record(marks as f64);
}

/// Records how long after its intake each mark was accepted by Wonde.
pub(crate) fn accepted(after: impl IntoIterator<Item = TimeDelta>) {
    for after in after {
        histogram!(ACCEPTED).record(seconds(after));
    }
}

/// Records how long after its intake each mark was confirmed.
pub(crate) fn confirmed(after: impl IntoIterator<Item = TimeDelta>) {
    for after in after {
        histogram!(CONFIRMED).record(seconds(after));
    }
}

/// Records a request with this token to an MIS or to Wonde, answered or not. A token is known by the place that the
/// settings name for it; those of schools that have no such place count together.
pub(crate) fn asked(token_key: &str, asked: mis_core::RequestInfo) {
    let status = asked
        .status
        .map_or_else(|| "none".to_owned(), |status| status.to_string());
    counter!(REQUESTS, "method" => asked.method, "status" => status).increment(1);
    let token = match token_key.strip_prefix("token:") {
        Some(place) if !place.starts_with("school:") => place.to_owned(),
        _ => "other".to_owned(),
    };
    counter!(TOKEN_REQUESTS, "token" => token, "purpose" => asked.purpose.as_str()).increment(1);
    histogram!(REQUEST_SECONDS, "method" => asked.method).record(asked.took.as_secs_f64());
}

/// Records how long a request waited for the token's rate limit.
pub(crate) fn permitted(waited: Duration) {
    histogram!(PERMIT_SECONDS).record(waited.as_secs_f64());
}

/// Counts a webhook of this type.
pub fn webhook(payload_type: &'static str) {
    counter!(WEBHOOKS, "type" => payload_type).increment(1);
}

/// Counts an attempt to deliver an entry to an endpoint: `delivered`, `retried` or `failed`.
pub(crate) fn delivery(result: &'static str) {
    counter!(DELIVERIES, "result" => result).increment(1);
}

/// Counts values and records that a sync could not read and skipped.
pub(crate) fn unread(values: usize, records: usize) {
    for (what, count) in [("value", values), ("record", records)] {
        counter!(UNREAD, "what" => what).increment(count as u64);
    }
}

/// Counts a reading of the settings file, and notes whether it was refused.
pub(crate) fn reloaded(taken: bool) {
    let result = if taken { "taken" } else { "refused" };
    counter!(RELOADS, "result" => result).increment(1);
    gauge!(REFUSED).set(if taken { 0.0 } else { 1.0 });
}

/// Counts pruned rows.
pub(crate) fn pruned(pruned: &Pruned) {
    for (what, rows) in [
        ("events", pruned.events),
        ("audit", pruned.audit),
        ("audit_log", pruned.audit_log),
        ("ledger", pruned.ledger),
        ("jobs", pruned.jobs),
        ("other", pruned.other),
        ("register", pruned.register),
    ] {
        counter!(PRUNED, "what" => what).increment(rows);
    }
}

/// Counts a request with a wrong key, or without one: answered as such, or slowed because there are too many.
pub fn wrong_key(slowed: bool) {
    counter!(WRONG_KEYS, "answer" => if slowed { "429" } else { "401" }).increment(1);
}

/// Counts a wrong name or password at sign-in, or one that was turned away unchecked because there were too many.
pub(crate) fn wrong_password(slowed: bool) {
    let answer = if slowed { "429" } else { "wrong" };
    counter!(WRONG_PASSWORDS, "answer" => answer).increment(1);
}

/// Counts a request or a connection that met a limit: `key_rate`, `requests`, `connections` or `streams`.
pub fn turned_away(limit: &'static str) {
    counter!(TURNED_AWAY, "limit" => limit).increment(1);
}

fn seconds(length: TimeDelta) -> f64 {
    // Clocks differ a little between nodes.
    length.to_std().unwrap_or_default().as_secs_f64()
}

/// Registers counters at zero, so that rates can be computed from the start.
fn begin_at_zero() {
    for answer in ["401", "429"] {
        counter!(WRONG_KEYS, "answer" => answer).absolute(0);
    }
    for answer in ["wrong", "429"] {
        counter!(WRONG_PASSWORDS, "answer" => answer).absolute(0);
    }
    for limit in ["key_rate", "requests", "connections", "streams"] {
        counter!(TURNED_AWAY, "limit" => limit).absolute(0);
    }
    for result in ["taken", "refused"] {
        counter!(RELOADS, "result" => result).absolute(0);
    }
    gauge!(REFUSED).set(0.0);
    for result in ["delivered", "retried", "failed"] {
        counter!(DELIVERIES, "result" => result).absolute(0);
    }
    for state in EventState::ALL {
        counter!(EVENTS, "state" => state.as_str()).absolute(0);
    }
    counter!(REQUESTS, "method" => "POST", "status" => "429").absolute(0);
    counter!(REQUESTS, "method" => "GET", "status" => "429").absolute(0);
    unread(0, 0);
    gauge!("markback_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn describe() {
    describe_counter!(EVENTS, "Events that reached a state");
    describe_histogram!(
        INTAKE,
        "Seconds that the parts of intake took: requests in the queue, and transactions waiting for a connection, storing \
         events, and committing"
    );
    describe_histogram!(SEND_MARKS, "Marks in each register sent");
    describe_histogram!(
        ACCEPTED,
        "Seconds from intake until Wonde accepted the mark"
    );
    describe_histogram!(CONFIRMED, "Seconds from intake until the MIS had the mark");
    describe_counter!(REQUESTS, "Requests to Wonde, by HTTP status");
    describe_counter!(
        TOKEN_REQUESTS,
        "Requests to Wonde, by the place of the token and by purpose"
    );
    describe_histogram!(REQUEST_SECONDS, "Seconds until Wonde responded");
    describe_histogram!(
        PERMIT_SECONDS,
        "Seconds a request waited for the token's rate"
    );
    describe_counter!(WEBHOOKS, "Webhooks taken");
    describe_counter!(
        DELIVERIES,
        "Attempts to deliver entries of the feed to endpoints, by result"
    );
    describe_gauge!(ENDPOINTS, "Endpoints for webhooks, by state");
    describe_counter!(
        UNREAD,
        "Values and records of people that syncs could not read and skipped"
    );
    describe_counter!(RELOADS, "Readings of the settings file while running");
    describe_gauge!(
        REFUSED,
        "1 while the settings file has problems and earlier settings rule"
    );
    describe_counter!(PRUNED, "Rows removed after their retention period");
    describe_counter!(
        WRONG_KEYS,
        "Requests with a wrong key or without one, by the answer's status"
    );
    describe_counter!(
        WRONG_PASSWORDS,
        "Tries to sign in that were wrong, or turned away because there were too many"
    );
    describe_counter!(
        TURNED_AWAY,
        "Requests and connections that met a limit of the API"
    );
    describe_gauge!(QUEUE_JOBS, "Unfinished jobs");
    describe_gauge!(QUEUE_OLDEST, "Age of the oldest open job in seconds");
    describe_gauge!(OPEN_EVENTS, "Events that are not settled");
    describe_gauge!(OPEN_OLDEST, "Age of the oldest unsettled event in seconds");
    describe_gauge!(PAUSES, "Paused schools and tokens");
    describe_gauge!(SCHOOLS, "Schools in the settings");
    describe_gauge!(SCHOOLS_READ, "Schools whose people this node has loaded");
    describe_gauge!(
        CALENDARS_UNREAD,
        "Schools whose iCalendar could not be read at the last try"
    );
}
