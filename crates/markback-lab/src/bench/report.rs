//! The report: results and their aims, as a table or as JSON.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;
use wonde_sandbox::RequestCounts;

use super::{
    Args,
    api::Stress,
    cpu::machine_memory,
    morning::{Flow, MIS_DELAY, Morning, PUPILS},
    nation::{Nation, NationArgs},
    parts::{BusySchool, Drain, ManySchools, RATE, Steady, per_second},
    php::Comparison,
    plain::Plain,
    stage::Stage,
};
use markback_console::output;

/// All results.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether it is a debug build, whose results mean little.
    debug_build: bool,
    cores: Option<usize>,
    memory_mib: Option<u64>,
    schools: usize,
    /// The PostgreSQL server's version and settings.
    pub(super) server: Option<String>,
    figures: Vec<Figure>,
    pub(super) notes: Vec<String>,
}

/// One result.
#[derive(Debug, Serialize)]
struct Figure {
    what: String,
    store: String,
    value: f64,
    unit: &'static str,
    aim: Option<Aim>,
    met: Option<bool>,
    remark: String,
}

/// The aim of a result.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Aim {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Aim {
    fn met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(aim) => value >= aim,
            Self::AtMost(aim) => value <= aim,
            Self::Below(aim) => value < aim,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(aim) => write!(f, "≥ {}", number(*aim)),
            Self::AtMost(aim) => write!(f, "≤ {}", number(*aim)),
            Self::Below(aim) => write!(f, "< {}", number(*aim)),
        }
    }
}

/// The most requests a minute with one token, unless the settings say otherwise.
const DEFAULT_RATE: u32 = 600;
const ACCEPTED: &str = "processed to accepted";
const OVER_A_LINE: &str = "Wonde answers after 100 ms";

fn whole(drain: &Drain) -> String {
    let (rate, per) = (
        per_second(drain.events, drain.took),
        per_thousand(&drain.requests),
    );
    format!(
        "{} with the first readings, and the last marks, which wait for others; {per:.1} requests per 1,000 marks",
        number(rate)
    )
}

fn spent(drain: &Drain) -> String {
    let own = drain.own_cpu.map_or_else(String::new, |own| {
        format!("sandbox and sender {}; ", number(per_event(own, drain)))
    });
    let busy = drain.busy.map_or_else(String::new, |busy| {
        format!(
            "all cores {:.0} % busy while the rate was counted",
            busy * 100.0
        )
    });
    own + &busy
}

fn per_event(time: Duration, drain: &Drain) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of events is far below 2^52"
    )]
    let events = drain.events as f64;
    time.as_secs_f64() * 1e6 / events
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            debug_build: cfg!(debug_assertions),
            cores: std::thread::available_parallelism().ok().map(Into::into),
            memory_mib: machine_memory(),
            schools: 0,
            server: None,
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Describes what the figures are measured with.
    pub(super) fn describe(&mut self, stage: &Stage, args: &Args) {
        self.schools = stage.schools.len();
        self.notes.push(format!(
            "{} schools with {} pupils; {} events in a backlog. The nodes are separate processes; the sandbox and \
             the sender share the machine with them.",
            stage.schools.len(),
            stage
                .schools
                .iter()
                .map(|school| school.pupils.len())
                .sum::<usize>(),
            args.events
        ));
    }

    pub(super) fn without_postgres(&mut self) {
        self.notes.push(
            "PostgreSQL was skipped: name a server with --postgres-url, or run `cargo xtask bench`.".to_owned(),
        );
    }

    pub(super) fn steady(&mut self, store: &str, steady: &Steady) {
        let of = |quantile| {
            let micros = steady.latencies.value_at_quantile(quantile);
            millis(Duration::from_micros(micros))
        };
        let what = |which| format!("intake at {RATE} events/s, {which}");
        self.add(what("50th percentile"), store, of(0.5), "ms");
        self.add(what("99th percentile"), store, of(0.99), "ms")
            .aim(Aim::Below(50.0))
            .remark = format!(
            "one event per request, {} of them; in the node, 99 % of {}",
            steady.events,
            waits(&steady.parts)
        );
        self.add(
            what("the last accepted"),
            store,
            millis(steady.behind),
            "ms",
        )
        .remark = "after the last one arrived".to_owned();
        if let Some(memory) = steady.memory {
            self.add(what("peak memory"), store, memory, "MiB");
        }
    }

    pub(super) fn drain(&mut self, store: &str, nodes: usize, drain: &Drain) {
        let store = match nodes {
            1 => format!("{store}, 1 node"),
            nodes => format!("{store}, {nodes} nodes"),
        };
        if nodes == 1 {
            self.add(
                "intake, one event per request",
                &store,
                drain.singly,
                "events/s",
            );
            self.add("intake, lists of 100", &store, drain.in_lists, "events/s");
        }
        let aim = match (store.starts_with("SQLite"), nodes) {
            (true, _) => Some(Aim::AtLeast(3_000.0)),
            (false, 4) => Some(Aim::AtLeast(8_000.0)),
            _ => None,
        };
        let figure = self.add(ACCEPTED, &store, drain.sustained, "events/s");
        figure.remark = whole(drain);
        if let Some(aim) = aim {
            figure.aim(aim);
        }
        if let Some(cpu) = drain.nodes_cpu {
            self.add(
                "processor time of the nodes",
                &store,
                per_event(cpu, drain),
                "µs/event",
            )
            .remark = spent(drain);
        }
        if let Some(memory) = drain.memory {
            self.add("peak memory of a node", &store, memory, "MiB");
        }
    }

    /// How much a second node on PostgreSQL adds, if one and two were measured.
    pub(super) fn two_nodes_against_one(&mut self, on_own_cores: bool) {
        let rate = |store: &str| {
            let mut figures = self.figures.iter();
            figures
                .find(|figure| figure.what == ACCEPTED && figure.store == store)
                .map(|figure| figure.value)
        };
        if let (Some(one), Some(two)) = (rate("PostgreSQL, 1 node"), rate("PostgreSQL, 2 nodes")) {
            self.add("two nodes against one", "PostgreSQL", two / one, "times")
                .aim(Aim::AtLeast(1.6))
                .remark = if on_own_cores {
                "each process has cores of its own".to_owned()
            } else {
                "all processes share the cores".to_owned()
            };
        }
    }

    /// The same with a delay of each response of Wonde, as over a real network.
    pub(super) fn over_a_line(&mut self, store: &str, drain: &Drain) {
        let what = format!("{ACCEPTED}, {OVER_A_LINE}");
        self.add(what, store, drain.sustained, "events/s").remark = whole(drain);
    }

    pub(super) fn busy_school(&mut self, busy: &BusySchool) {
        let requests = &busy.requests;
        let kinds: Vec<_> = requests
            .by_kind
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        self.add(
            "requests per 1,000 marks",
            "a busy school",
            per_thousand(requests),
            "requests",
        )
        .aim(Aim::AtMost(20.0))
        .remark = format!("{} marks, {}: {}", busy.marks, busy.mis, kinds.join(", "));
        self.add(
            "a lone event: intake to accepted",
            "SQLite, 1 node",
            busy.lone.as_secs_f64(),
            "s",
        )
        .aim(Aim::AtMost(2.0));
    }

    /// Mornings of one school: those with the defaults, then the curve of the longest wait.
    pub(super) fn mornings(&mut self, mornings: &[Morning], speed: u32) {
        for morning in mornings {
            let setup = morning.setup;
            let flow = match setup.flow {
                Flow::Rush => "a rush",
                Flow::Even => "evenly",
            };
            let hooks = if setup.webhooks { ", webhooks" } else { "" };
            let window = setup.window.map_or_else(String::new, |window| {
                format!(", longest wait {} s", window.as_secs())
            });
            let which = format!("{flow}{hooks}{window}");
            let after = |waits: &Histogram<u64>, quantile| {
                millis(Duration::from_millis(waits.value_at_quantile(quantile))) / 1000.0
            };
            let (median, slow) = (
                after(&morning.accepted, 0.5),
                after(&morning.accepted, 0.99),
            );
            let requests = per_thousand(&morning.requests);
            let kinds: Vec<_> = morning
                .requests
                .by_kind
                .iter()
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            let kinds = format!(
                "{} marks: {}",
                morning.requests.marks_accepted,
                kinds.join(", ")
            );
            let what = "a morning: requests per 1,000 marks";
            if setup.window.is_some() {
                self.add(what, &which, requests, "requests").remark = format!(
                    "accepted after {} s (50th percentile), {} s (99th); {kinds}",
                    number(median),
                    number(slow)
                );
                continue;
            }
            let aim = if setup.webhooks { 45.0 } else { 75.0 };
            self.add(what, &which, requests, "requests")
                .aim(Aim::AtMost(aim))
                .remark = kinds;
            let accepted = |which| format!("a morning: intake to accepted, {which}");
            self.add(accepted("50th percentile"), &which, median, "s")
                .aim(Aim::AtMost(15.0));
            self.add(accepted("99th percentile"), &which, slow, "s")
                .aim(Aim::AtMost(60.0));
            let settled = after(&morning.settled, 0.5);
            self.add(
                "a morning: intake to confirmed, 50th percentile",
                &which,
                settled,
                "s",
            );
        }
        self.notes.push(format!(
            "A morning: {PUPILS} pupils of one school in half an hour, the MIS has a mark {} s after Wonde; sandbox and \
             service in one process, {speed} times as fast as real time; those with aims at the same time, then those of \
             the curve. What a mark waits with a longest wait of 0 s is the service's own work, which takes that much \
             longer on this clock.",
            MIS_DELAY.as_secs()
        ));
    }

    /// Intake before and during stress, what the clients met that caused it, and streams.
    pub(super) fn under_stress(&mut self, stress: &Stress) {
        let store = "SQLite, 1 node";
        for (when, flow) in [("before", &stress.before), ("during", &stress.during)] {
            let what = |which| format!("intake at {} events/s, {which}, {when}", stress.rate);
            for (which, quantile) in [("50th percentile", 0.5), ("99th percentile", 0.99)] {
                let micros = flow.latencies.value_at_quantile(quantile);
                let took = millis(Duration::from_micros(micros));
                self.add(what(which), store, took, "ms").remark =
                    format!("one event per request, {} accepted", flow.accepted.len());
            }
            if flow.others.is_empty() {
                continue;
            }
            let others = counts(&flow.others);
            let count = flow.others.values().sum();
            self.add(what("not accepted"), store, count_of(count), "requests")
                .remark = format!("by status (0: no answer): {others}");
        }
        self.add(
            "accepted and not in the database",
            store,
            count_of(stress.lost),
            "events",
        )
        .aim(Aim::AtMost(0.0));
        let clients = &stress.clients;
        self.add(
            format!("{} clients that treat the API badly", stress.connections),
            store,
            count_of(clients.connections),
            "connections",
        )
        .remark = format!(
            "in {} s; answers by status: {}; {} without an answer",
            stress.seconds,
            counts(&clients.answers),
            clients.unanswered
        );
        self.add(
            "answers 429 and 503 without Retry-After",
            store,
            count_of(clients.without_retry_after),
            "answers",
        )
        .aim(Aim::AtMost(0.0));
        if let (Some(median), Some(longest)) = (
            stress.heard.get(stress.heard.len() / 2),
            stress.heard.last(),
        ) {
            let what = |which| {
                format!(
                    "a change to the last of {} streams, {which}",
                    stress.streams
                )
            };
            self.add(what("median"), store, millis(*median), "ms")
                .remark = format!(
                "{} changes; a node looks for new entries once a second",
                stress.heard.len()
            );
            self.add(what("longest"), store, millis(*longest), "ms");
        }
        if let Some(memory) = stress.memory {
            self.add("peak memory", store, memory, "MiB");
        }
    }

    /// A morning of very many schools.
    pub(super) fn nation(&mut self, args: &NationArgs, nation: &Nation) {
        let store = match (&args.server.postgres_url, args.nodes) {
            (None, _) => "SQLite, 1 node".to_owned(),
            (Some(_), 1) => "PostgreSQL, 1 node".to_owned(),
            (Some(_), nodes) => format!("PostgreSQL, {nodes} nodes"),
        };
        let store = store.as_str();
        let seconds = |waits: &Histogram<u64>, quantile| {
            Duration::from_millis(waits.value_at_quantile(quantile)).as_secs_f64()
        };
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let (events, reads, nightly, busiest, backlog, again) = (
            nation.events as f64,
            nation.read_requests.total as f64,
            nation.nightly_requests() as f64,
            nation.busiest_minute as f64,
            nation.backlog as f64,
            nation.intake.again as f64,
        );
        let [often, peak] = [1.0, 4.05].map(|times| events / 1_800.0 * times);
        let rate = f64::from(DEFAULT_RATE);
        self.add(
            "a nation: sign-ins in half an hour",
            store,
            events,
            "events",
        )
        .remark = format!(
            "{} schools; {} a second, {} in the busiest minute",
            nation.schools,
            number(often),
            number(peak)
        );
        self.add(
            "a nation: requests to read all schools once",
            store,
            reads,
            "requests",
        )
        .remark = format!(
            "people, and the register of the last months; {} s here",
            number(nation.read.as_secs_f64())
        );
        self.add(
            "a nation: requests of a night's syncs",
            store,
            nightly,
            "requests",
        )
        .aim(Aim::AtMost(rate * 60.0 * 8.0))
        .remark =
            "people alone; the aim is eight hours with one token at the default rate".to_owned();
        let micros = |quantile| {
            millis(Duration::from_micros(
                nation.intake.latencies.value_at_quantile(quantile),
            ))
        };
        self.add(
            "a nation: intake, 50th percentile",
            store,
            micros(0.5),
            "ms",
        );
        self.add(
            "a nation: intake, 99th percentile",
            store,
            micros(0.99),
            "ms",
        )
        .aim(Aim::Below(50.0))
        .remark = format!("{} requests were turned away and sent again", number(again));
        let accepted = |quantile| seconds(&nation.accepted, quantile);
        self.add(
            "a nation: intake to accepted, 50th percentile",
            store,
            accepted(0.5),
            "s",
        )
        .aim(Aim::AtMost(15.0));
        self.add(
            "a nation: intake to accepted, 99th percentile",
            store,
            accepted(0.99),
            "s",
        )
        .aim(Aim::AtMost(60.0));
        self.add(
            "a nation: the last accepted",
            store,
            nation.behind.as_secs_f64(),
            "s",
        )
        .aim(Aim::AtMost(120.0))
        .remark = format!(
            "after the last sign-in; at most {} waited at one time",
            number(backlog)
        );
        self.add(
            "a nation: requests per 1,000 marks",
            store,
            per_thousand(&nation.requests),
            "requests",
        )
        .remark = format!("of {} marks", nation.requests.marks_accepted);
        let tokens = if args.own_tokens {
            "each school has a token of its own".to_owned()
        } else {
            let limit = args.rate.map_or_else(
                || "without a limit".to_owned(),
                |rate| format!("limited to {rate} a minute"),
            );
            format!("one token for all, {limit}")
        };
        self.add(
            "a nation: requests in the busiest minute",
            store,
            busiest,
            "requests",
        )
        .remark = format!(
            "{tokens}; {} times the default rate of a token",
            number(busiest / rate)
        );
        if let Some(memory) = nation.memory {
            self.add("a nation: peak memory of a node", store, memory, "MiB");
        }
        if let Some(cpu) = nation.cpu {
            let each = cpu.as_secs_f64() / events.max(1.0);
            self.add(
                "a nation: processor time of the nodes",
                store,
                each * 1e6,
                "µs/event",
            )
            .remark = format!(
                "cores that the busiest minute keeps busy, without database and sandbox: {}",
                number(each * peak)
            );
        }
        self.add(
            "a nation: growth of the database",
            store,
            nation.growth,
            "MiB",
        )
        .remark = format!(
            "{} KiB an event",
            number(nation.growth * 1024.0 / events.max(1.0))
        );
        self.add(
            "a nation: pruning all of it",
            store,
            nation.pruning.as_secs_f64(),
            "s",
        );
        self.notes.push(format!(
            "A nation: the half hour passes {} times as fast as in reality, with all waits of the settings and the MISs' \
             delay of {} s as many times shorter; waits are on the morning's clock, intake is in real time. Sandbox and \
             sender share the machine.",
            args.speed,
            MIS_DELAY.as_secs()
        ));
    }

    pub(super) fn plain(&mut self, plain: &Plain) {
        let (per, rate) = (
            per_thousand(&plain.requests),
            per_second(plain.events, plain.took),
        );
        let ours = |what: &str| {
            let found = self.figures.iter().find(|figure| figure.what == what);
            found
                .map(|figure| figure.value)
                .filter(|value| *value > 0.0)
        };
        let times = |ratio: Option<f64>, words: &str| {
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.1} times {words}"))
        };
        let fewer = times(
            ours("requests per 1,000 marks").map(|ours| per / ours),
            "the service's requests",
        );
        let faster = times(
            ours(&format!("{ACCEPTED}, {OVER_A_LINE}")).map(|ours| ours / rate),
            "the service's rate on SQLite",
        );
        self.add(
            "the plain way: requests per 1,000 marks",
            "none",
            per,
            "requests",
        )
        .remark = fewer;
        self.add(
            format!("the plain way: accepted, {OVER_A_LINE}"),
            "none",
            rate,
            "events/s",
        )
        .remark = faster;
    }

    /// The service beside Wonde's PHP client, for each time that an answer takes.
    pub(super) fn php(&mut self, comparisons: &[Comparison]) {
        for comparison in comparisons {
            let when = match comparison.answer_after.as_millis() {
                0 => "Wonde answers at once".to_owned(),
                millis => format!("Wonde answers after {millis} ms"),
            };
            let service = &comparison.service;
            for side in std::iter::once(service).chain(&comparison.php) {
                let times = |theirs: f64, ours: f64, words: &str| match side.processes {
                    Some(_) => format!("{} times {words}", number(theirs / ours)),
                    None => String::new(),
                };
                let who = match side.processes {
                    None => "the service, SQLite".to_owned(),
                    Some(1) => "PHP, 1 process".to_owned(),
                    Some(processes) => format!("PHP, {processes} processes"),
                };
                let (ours, theirs) = (service.rate(), side.rate());
                self.add(format!("marks accepted, {when}"), &who, theirs, "marks/s")
                    .remark = match side.processes {
                    Some(_) => format!("the service: {} times as many", number(ours / theirs)),
                    None => format!("{} marks in {} ms", side.marks, number(millis(side.took))),
                };
                let (ours, theirs) = (
                    per_thousand(&service.requests),
                    per_thousand(&side.requests),
                );
                self.add(
                    format!("requests per 1,000 marks, {when}"),
                    &who,
                    theirs,
                    "requests",
                )
                .remark = times(theirs, ours, "the service's");
                if let (Some(ours), Some(theirs)) = (service.cpu_per_mark(), side.cpu_per_mark()) {
                    self.add(
                        format!("processor time per mark, {when}"),
                        &who,
                        theirs,
                        "µs",
                    )
                    .remark = times(theirs, ours, "the service's");
                }
            }
        }
        self.notes.push(
            "The same pupils of one school and the same marks, each side in its own processes. The PHP client reads the \
             register and posts one mark for each event, as its users do. In its favour: it reads changes since six \
             o'clock only, stores nothing, asks for no outcome, overwrites what it finds, gets its codes with the events, \
             and opens a connection for each request without TLS. The service's requests and processor time count until \
             its last mark is confirmed, with the intake. In its favour: its events are in its database, and the registers read, when the clock for its rate starts."
                .to_owned(),
        );
    }

    pub(super) fn many_schools(&mut self, count: u32, many: &ManySchools) {
        if let Some(memory) = many.memory {
            self.add(
                format!("peak memory with {count} schools"),
                "SQLite, 1 node",
                memory,
                "MiB",
            )
            .aim(Aim::Below(300.0))
            .remark = format!("listens after {} ms", number(millis(many.started)));
        }
    }

    fn add(
        &mut self,
        what: impl Into<String>,
        store: &str,
        value: f64,
        unit: &'static str,
    ) -> &mut Figure {
        self.figures.push(Figure {
            what: what.into(),
            store: store.to_owned(),
            value,
            unit,
            aim: None,
            met: None,
            remark: String::new(),
        });
        let last = self.figures.len() - 1;
        &mut self.figures[last]
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count is far below 2^52")]
fn count_of(count: u64) -> f64 {
    count as f64
}

/// The bounds of waits by what was waited for, such as "commit ≤ 10 ms".
fn waits(bounds: &BTreeMap<String, f64>) -> String {
    let waits = bounds
        .iter()
        .map(|(part, bound)| format!("{part} ≤ {} ms", number(bound * 1000.0)));
    waits.collect::<Vec<_>>().join(", ")
}

/// Counts by status, such as "202: 5, 503: 1".
fn counts(by_status: &BTreeMap<u16, u64>) -> String {
    let counts = by_status
        .iter()
        .map(|(status, count)| format!("{status}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

impl Figure {
    fn aim(&mut self, aim: Aim) -> &mut Self {
        self.aim = Some(aim);
        self.met = Some(aim.met_by(self.value));
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.figures.iter().map(|figure| {
            let aim = figure.aim.map_or_else(String::new, |aim| aim.to_string());
            let met = match figure.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            [
                figure.what.clone(),
                figure.store.clone(),
                format!("{} {}", number(figure.value), figure.unit),
                aim,
                met.to_owned(),
                figure.remark.clone(),
            ]
        });
        writeln!(
            f,
            "{}",
            output::table(["what", "store", "figure", "aim", "", "remark"], rows)
        )?;
        let machine = match (self.cores, self.memory_mib) {
            (Some(cores), Some(memory)) => format!("{cores} cores, {} GiB. ", memory / 1024),
            _ => String::new(),
        };
        write!(f, "{machine}{}", self.notes.join(" "))?;
        if let Some(server) = &self.server {
            write!(f, " {server}.")?;
        }
        if self.debug_build {
            write!(f, "\nThis is a debug build: its results mean little.")?;
        }
        Ok(())
    }
}

fn per_thousand(requests: &RequestCounts) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let (total, marks) = (requests.total as f64, requests.marks_accepted as f64);
    total * 1000.0 / marks.max(1.0)
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}

/// Rounds to three significant digits, with thousands separators.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}").trim_end_matches(".0").to_owned();
    }
    let digits = format!("{value:.0}");
    let head = digits.len() % 3;
    let mut out = digits.get(..head).unwrap_or_default().to_owned();
    for (n, digit) in digits.chars().skip(head).enumerate() {
        if n % 3 == 0 && !out.is_empty() {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        for (value, text) in [
            (0.04, "0"),
            (3.25, "3.2"),
            (20.0, "20"),
            (120.0, "120"),
            (1_000.4, "1,000"),
            (12_345.6, "12,346"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn two_nodes_are_compared_with_one_if_both_were_measured() {
        let mut report = Report::new();
        report.add(ACCEPTED, "PostgreSQL, 2 nodes", 8_000.0, "events/s");
        report.add(ACCEPTED, "SQLite, 1 node", 4_000.0, "events/s");
        report.two_nodes_against_one(true);
        assert_eq!(report.figures.len(), 2);
        report.add(ACCEPTED, "PostgreSQL, 1 node", 5_000.0, "events/s");
        report.two_nodes_against_one(true);
        let ratio = report.figures.last().unwrap();
        assert_eq!((ratio.value, ratio.met), (1.6, Some(true)));
        assert_eq!(ratio.remark, "each process has cores of its own");
        report.figures[0].value = 7_900.0;
        report.two_nodes_against_one(false);
        assert_eq!(report.figures.last().unwrap().met, Some(false));
    }

    #[test]
    fn an_aim_is_met_at_its_edge_only_where_it_says_so() {
        assert!(Aim::AtLeast(3.0).met_by(3.0) && !Aim::AtLeast(3.0).met_by(2.9));
        assert!(Aim::AtMost(20.0).met_by(20.0) && !Aim::AtMost(20.0).met_by(20.1));
        assert!(!Aim::Below(50.0).met_by(50.0) && Aim::Below(50.0).met_by(49.9));
    }
}
