//! `markback bench growth`: how the cost of the same work grows with the number of stored events.

use std::{
    array, fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;
use markback::{
    service::EventState,
    store::{EventFilter, Store},
};
use markback_console::{
    BadInput,
    output::{self, TableOrJson},
};
use mis_core::SchoolId;
use outbox::{Sql, on_pool, on_tx};
use serde::Serialize;
use serde_json::json;

use super::{
    database::Fresh,
    parts::{self, Bars, per_second},
    plot,
    stage::{EVENTS_MIN, Stage},
};

/// Events stored in one statement.
const CHUNK: u64 = 1_000;
/// How often each query is repeated; the median counts.
const REPEATS: usize = 5;
/// All stored events came in within this time, so none is past its retention.
const DAYS: i64 = 60;

/// The arguments of `markback bench growth`.
#[derive(Clone, Debug, Args)]
pub struct GrowthArgs {
    /// Numbers of events that are stored before each measurement
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    pub stored: Vec<u64>,
    /// Numbers of schools to which they belong
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [10, 100, 1_000])]
    pub of_schools: Vec<u32>,
    /// Writes the figures as a picture to this file
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

/// The cost of the same work at one size.
#[derive(Debug, Serialize)]
pub(super) struct Size {
    stored: u64,
    schools: u32,
    /// The size of the database.
    mib: f64,
    /// In the order of [`WORK`].
    figures: Vec<f64>,
}

/// What is measured, with the unit.
const WORK: [(&str, &str); 8] = [
    ("intake of lists of 100", "µs/event"),
    ("to accepted", "µs/event"),
    ("one event", "ms"),
    ("a person's events", "ms"),
    ("a school's latest events", "ms"),
    ("a school's problems", "ms"),
    ("open events of all schools", "ms"),
    ("a pass of pruning", "ms"),
];

/// The figures of all sizes.
#[derive(Debug, Serialize)]
pub(super) struct Growth {
    sizes: Vec<Size>,
    debug_build: bool,
}

impl GrowthArgs {
    /// Checks the numbers.
    pub(super) fn check(&self) -> Result<(), BadInput> {
        if self
            .stored
            .iter()
            .any(|stored| !(1_000..=20_000_000).contains(stored))
        {
            return Err(BadInput(
                "--stored takes numbers from 1000 to 20000000".to_owned(),
            ));
        }
        if self
            .of_schools
            .iter()
            .any(|schools| !(1..=24_000).contains(schools))
        {
            return Err(BadInput(
                "--of-schools takes numbers from 1 to 24000".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Measures each number of stored events at the first number of schools, and each number of schools at the last number
/// of stored events.
pub(super) async fn measure(args: &GrowthArgs) -> anyhow::Result<Growth> {
    let bars = Bars;
    let stage = bars
        .during("setting up the sandbox", Stage::set(EVENTS_MIN))
        .await?;
    let mut wanted: Vec<(u64, u32)> = Vec::new();
    let (first, last) = (args.of_schools.first(), args.stored.last());
    wanted.extend(
        args.stored
            .iter()
            .filter_map(|stored| Some((*stored, *first?))),
    );
    wanted.extend(
        args.of_schools
            .iter()
            .skip(1)
            .filter_map(|schools| Some((*last?, *schools))),
    );
    let mut sizes = Vec::new();
    for (stored, schools) in wanted {
        sizes.push(size(&stage, stored, schools, &bars).await?);
    }
    stage.strike().await;
    Ok(Growth {
        sizes,
        debug_build: cfg!(debug_assertions),
    })
}

async fn size(stage: &Stage, stored: u64, schools: u32, bars: &Bars) -> anyhow::Result<Size> {
    let fresh = Fresh::sqlite(stage)?;
    let store = parts::open(&fresh).await?;
    bars.during("storing earlier events", fill(&store, stored, schools))
        .await?;
    let mib = mebibytes(&store).await?;
    let queries = bars
        .during("reading events", queries(&store, schools))
        .await?;
    store.database().close().await;
    let drain = parts::drain(stage, &fresh, 1, bars).await?;
    let mut figures = vec![
        1e6 / drain.in_lists.max(f64::MIN_POSITIVE),
        1e6 / per_second(drain.events, drain.took).max(f64::MIN_POSITIVE),
    ];
    figures.extend(queries);
    Ok(Size {
        stored,
        schools,
        mib,
        figures,
    })
}

/// The median times of reading and pruning, in ms.
async fn queries(store: &Store, schools: u32) -> anyhow::Result<Vec<f64>> {
    let school = SchoolId::from(school_name(schools / 2));
    let filter = |states: &[EventState], person: Option<&str>| EventFilter {
        school: Some(school.clone()),
        states: states.to_vec(),
        person: person.map(str::to_owned),
        limit: 50,
        ..EventFilter::default()
    };
    let (latest, problems, person) = (
        filter(&[], None),
        filter(
            &[
                EventState::Failed,
                EventState::Rejected,
                EventState::Unconfirmed,
            ],
            None,
        ),
        filter(&[], Some("p1-7")),
    );
    let retention = Duration::from_secs(90 * 24 * 60 * 60);
    Ok(vec![
        median(async || store.event(&school, "old-1007").await).await?,
        median(async || store.search(&person).await).await?,
        median(async || store.search(&latest).await).await?,
        median(async || store.search(&problems).await).await?,
        median(async || store.open_by_state().await).await?,
        median(async || store.prune(retention, retention).await).await?,
    ])
}

async fn median<T>(work: impl AsyncFn() -> outbox::Result<T>) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let begin = Instant::now();
        work().await?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times.get(REPEATS / 2).copied().context("nothing was timed")
}

fn school_name(number: u32) -> String {
    format!("B{number:010}")
}

/// Stores settled events with all that belongs to them, as they are some weeks after.
async fn fill(store: &Store, stored: u64, schools: u32) -> anyhow::Result<()> {
    let now = store.now_ms();
    let chunks = stored.div_ceil(CHUNK);
    for chunk in 0..chunks {
        let school = school_name(u32::try_from(chunk % u64::from(schools))?);
        let age = TimeDelta::days(DAYS) * i32::try_from(chunk)? / i32::try_from(chunks.max(1))?;
        let began = now - age.num_milliseconds();
        fill_chunk(store, &school, chunk, began).await?;
    }
    Ok(())
}

static EVENTS: Sql = Sql::new(
    "INSERT INTO markback_events (school, id, person, body, state, student, day, session, decision, outcome, received_ms, \
         decided_ms, sent_ms, settled_ms, at_ms) \
     SELECT $3, 'old-' || n.i, 'p' || $4 || '-' || (n.i % 1000), $5, CASE n.i % 200 WHEN 0 THEN 'rejected' ELSE 'confirmed' END, \
         'A' || n.i, $6, 'AM', $7, 'the MIS has it', $8 + n.i % 1000, $8 + n.i % 1000, $8 + n.i % 1000, $8 + n.i % 1000, \
         $8 + n.i % 1000 \
     FROM {(WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) SELECT i FROM n) n\
          |generate_series(CAST($1 AS BIGINT), CAST($2 AS BIGINT)) n(i)}",
);
const AUDIT: &str = "INSERT INTO markback_audit (school, event, at_ms, what, record) \
     SELECT e.school, e.id, e.received_ms, w.what, '{\"code\":\"L\",\"rule\":\"late\"}' \
     FROM markback_events e, (SELECT 'received' AS what UNION ALL SELECT 'planned' UNION ALL SELECT 'accepted' \
         UNION ALL SELECT 'confirmed') w \
     WHERE e.school = $1 AND e.received_ms >= $2 AND e.received_ms < $2 + 1000";
const LEDGER: &str = "INSERT INTO markback_ledger (school, student, day, session, marks) \
     SELECT e.school, e.student, e.day, e.session, '[]' FROM markback_events e \
     WHERE e.school = $1 AND e.received_ms >= $2 AND e.received_ms < $2 + 1000";

async fn fill_chunk(store: &Store, school: &str, chunk: u64, began: i64) -> anyhow::Result<()> {
    let from = i64::try_from(chunk * CHUNK)?;
    let until = from + i64::try_from(CHUNK)? - 1;
    let at = DateTime::from_timestamp_millis(began).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    let day: NaiveDate = at.date_naive();
    let body = json!({
        "id": "old-1234567", "person": "A1234567890", "kind": "sign_in", "at": at.to_rfc3339(),
        "answers": {"Reason for being late": "Bus"},
    });
    let decision = json!({
        "outcome": "write", "code": "L", "rule": "late", "minutes_late": 12, "comment": "Bus",
        "steps": [
            "signed in at 09:12 on Monday 23 November 2026; the group is Years 7-11",
            "the morning counts as late from 09:00 and as unauthorised from 09:30",
            "the register of Wonde, 12 seconds old, has no mark in this session",
            "12 minutes late, counted from 09:00", "the comment is the answer to Reason for being late",
            "the mark is L with 12 minutes late and a comment",
        ],
    });
    let engine = store.database().engine();
    let mut tx = store.database().begin().await?;
    on_tx!(tx, conn => {
        sqlx::query(EVENTS.on(engine))
            .bind(from).bind(until).bind(school).bind(chunk.to_string()).bind(body.to_string()).bind(day.to_string())
            .bind(decision.to_string()).bind(began)
            .execute(&mut *conn).await?;
        sqlx::query(AUDIT).bind(school).bind(began).execute(&mut *conn).await?;
        sqlx::query(LEDGER).bind(school).bind(began).execute(conn).await?;
    });
    Ok(tx.commit().await?)
}

/// The size of the database in MiB.
pub(super) async fn mebibytes(store: &Store) -> anyhow::Result<f64> {
    static SIZE: Sql = Sql::new(
        "SELECT {page_count * page_size FROM pragma_page_count(), pragma_page_size()|pg_database_size(current_database())}",
    );
    let text = SIZE.on(store.database().engine());
    let bytes: i64 =
        on_pool!(store.database(), pool => sqlx::query_scalar(text).fetch_one(pool).await)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a database is far below 2^52 bytes"
    )]
    Ok(bytes as f64 / 1024.0 / 1024.0)
}

impl Growth {
    /// Prints the figures, and draws them if asked to.
    pub(super) fn show(&self, args: &GrowthArgs) -> anyhow::Result<()> {
        if let Some(path) = &args.svg {
            let lines: Vec<_> = WORK
                .iter()
                .enumerate()
                .map(|(n, (name, unit))| {
                    let points = self.sizes.iter().filter(|size| {
                        args.of_schools
                            .first()
                            .is_some_and(|first| size.schools == *first)
                    });
                    let points =
                        points.filter_map(|size| Some((size.stored, *size.figures.get(n)?)));
                    (format!("{name}, {unit}"), points.collect::<Vec<_>>())
                })
                .collect();
            plot::lines(path, "stored events", &lines)?;
        }
        match args.format {
            TableOrJson::Table => output::line(self.to_string())?,
            TableOrJson::Json => output::json(self)?,
        }
        Ok(())
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.sizes.iter().map(|size| {
            let mut cells = [
                size.stored.to_string(),
                size.schools.to_string(),
                format!("{:.0}", size.mib),
            ]
            .into_iter()
            .chain(size.figures.iter().map(|figure| format!("{figure:.2}")));
            array::from_fn(|_| cells.next().unwrap_or_default())
        });
        let mut names = ["stored events", "schools", "MiB"]
            .map(str::to_owned)
            .into_iter()
            .chain(WORK.iter().map(|(name, unit)| format!("{name}, {unit}")));
        let head: [String; 3 + WORK.len()] = array::from_fn(|_| names.next().unwrap_or_default());
        write!(
            f,
            "{}",
            output::table(head.each_ref().map(String::as_str), rows)
        )?;
        if self.debug_build {
            write!(f, "\nThis is a debug build: its results mean little.")?;
        }
        Ok(())
    }
}
