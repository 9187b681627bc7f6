//! `markback bench growth`: how the cost of the same work grows with the number of stored events and of schools.

mod fill;
mod reads;
mod trend;

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use markback::store::Store;
use markback_console::{
    BadInput,
    output::{self, TableOrJson},
};
use outbox::{Sql, on_pool};
use serde::Serialize;

use self::{
    fill::{Extent, Filled, Morning},
    trend::{Of, Trend},
};
use super::{
    parts::{self, Bars},
    plot::{self, Panel},
    stage::Stage,
};

/// The arguments of `markback bench growth`.
#[derive(Clone, Debug, Args)]
pub struct GrowthArgs {
    /// Numbers of events that are stored before each measurement; ten million take some 40 GB of disk
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    pub stored: Vec<u64>,
    /// Numbers of schools to which they belong
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [10, 100, 1_000])]
    pub of_schools: Vec<u32>,
    /// Measures instead with what is stored after a year at the last number of schools, fifty events at each a day, and
    /// tells the size of each table
    #[arg(long, conflicts_with_all = ["stored", "svg"])]
    pub year: bool,
    /// Writes the figures as a picture to this file
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

/// The events that are taken in and processed at each size.
const BACKLOG: usize = 10_000;

/// What is measured, with its unit and how it may grow.
const WORK: [(&str, &str, Of); 15] = [
    ("intake, one event per request", "µs/event", Of::One),
    ("intake of lists of 100", "µs/event", Of::One),
    ("to accepted, with deciding", "µs/event", Of::One),
    ("one event", "ms", Of::One),
    ("a person's latest events", "ms", Of::One),
    ("a school's latest events", "ms", Of::One),
    ("a school's problems", "ms", Of::One),
    ("the page Today", "ms", Of::One),
    ("… of an old day", "ms", Of::One),
    ("a draft tried on a week", "ms", Of::One),
    ("a page of a school's feed", "ms", Of::One),
    ("open events by state", "ms", Of::One),
    ("all schools, with their state", "ms", Of::AllSchools),
    ("pruning that finds nothing", "ms", Of::One),
    ("pruning", "ms/1,000 events", Of::One),
];

/// The cost of the same work at one size.
#[derive(Debug, Serialize)]
struct Size {
    stored: u64,
    schools: u32,
    /// The size of the database.
    mib: f64,
    /// In the order of [`WORK`].
    figures: Vec<f64>,
}

/// The figures of all sizes.
#[derive(Debug, Serialize)]
pub(super) struct Growth {
    sizes: Vec<Size>,
    /// How many rows one event leaves in each table.
    rows_of_an_event: Vec<(&'static str, f64)>,
    /// The largest tables with their indexes in MiB, if a year was stored.
    tables: Vec<(String, f64)>,
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

    /// Each number of stored events at the first number of schools, and each number of schools at the last number of
    /// stored events.
    fn extents(&self) -> Vec<Extent> {
        let at = |events: u64, schools: u32| Extent {
            events,
            schools,
            a_day: u32::MAX,
            is_year: false,
        };
        let first = self.of_schools.first().copied().unwrap_or(1);
        let last = self.stored.last().copied().unwrap_or(1_000);
        let stored = self.stored.iter().map(|stored| at(*stored, first));
        let schools = self
            .of_schools
            .iter()
            .skip(1)
            .map(|schools| at(last, *schools));
        stored.chain(schools).collect()
    }
}

/// Measures each size.
pub(super) async fn measure(args: &GrowthArgs) -> anyhow::Result<Growth> {
    let bars = Bars;
    let stage = bars
        .during("setting up the sandbox", Stage::set(BACKLOG))
        .await?;
    let morning = fill::morning(&stage, &bars).await?;
    let mut growth = Growth {
        sizes: Vec::new(),
        rows_of_an_event: morning.rows_of_an_event().await?,
        tables: Vec::new(),
        debug_build: cfg!(debug_assertions),
    };
    let extents = if args.year {
        vec![Extent::year(args.of_schools.last().copied().unwrap_or(1))]
    } else {
        args.extents()
    };
    for extent in extents {
        let copies = morning.copies(&stage, extent);
        let filled = bars.during("storing earlier events", copies).await?;
        if extent.is_year {
            let store = parts::open(&filled.fresh).await?;
            let tables = fill::largest(&store);
            growth.tables = bars.during("counting pages", tables).await?;
            store.database().close().await;
        }
        let size = size(&stage, &morning, filled, extent.schools, &bars).await?;
        growth.sizes.push(size);
    }
    stage.strike().await;
    Ok(growth)
}

async fn size(
    stage: &Stage,
    morning: &Morning,
    filled: Filled,
    schools: u32,
    bars: &Bars,
) -> anyhow::Result<Size> {
    let store = parts::open(&filled.fresh).await?;
    let mib = mebibytes(&store).await?;
    store.database().close().await;
    let reads = bars
        .during(
            "reading events",
            reads::measure(stage, morning, &filled, schools),
        )
        .await?;
    let drain = parts::drain(stage, &filled.fresh, 1, bars).await?;
    let micros = |per_second: f64| 1e6 / per_second.max(f64::MIN_POSITIVE);
    let mut figures = vec![
        micros(drain.singly),
        micros(drain.in_lists),
        micros(drain.sustained),
    ];
    figures.extend(reads);
    // The next size needs the room.
    let file = filled
        .fresh
        .file()
        .context("the database is not in a file")?;
    std::fs::remove_file(file)?;
    Ok(Size {
        stored: filled.events,
        schools,
        mib,
        figures,
    })
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
            let times = |points: Vec<(f64, f64)>| {
                let smallest = points.first().map_or(1.0, |(size, _)| *size);
                let relative = points.iter().map(|(size, cost)| (size / smallest, *cost));
                relative.collect()
            };
            let panels: Vec<Panel> = (0..)
                .zip(&WORK)
                .map(|(n, (name, unit, _))| Panel {
                    title: format!("{name}, {unit}"),
                    lines: [times(self.by_stored(n)), times(self.by_schools(n))],
                })
                .collect();
            let [stored, schools] = [self.by_stored(0), self.by_schools(0)];
            let from = |points: &[(f64, f64)]| points.first().map_or(0.0, |(size, _)| *size);
            let names = [
                format!("times as many stored events as {}", from(&stored)),
                format!("times as many schools as {}", from(&schools)),
            ];
            plot::panels(path, &names, &panels)?;
        }
        match args.format {
            TableOrJson::Table => output::line(self.to_string())?,
            TableOrJson::Json => output::json(self)?,
        }
        Ok(())
    }

    /// The costs of a work by the number of stored events, at the first number of schools.
    fn by_stored(&self, work: usize) -> Vec<(f64, f64)> {
        let first = self.sizes.first().map(|size| size.schools);
        let of_first = self.sizes.iter().filter(|size| Some(size.schools) == first);
        #[expect(clippy::cast_precision_loss, reason = "a count of events")]
        let points =
            of_first.filter_map(|size| Some((size.stored as f64, *size.figures.get(work)?)));
        points.collect()
    }

    /// The costs of a work by the number of schools, at the last number of stored events.
    fn by_schools(&self, work: usize) -> Vec<(f64, f64)> {
        let first = self.sizes.first().map(|size| size.schools);
        let begin = self
            .sizes
            .iter()
            .rposition(|size| Some(size.schools) == first);
        let of_last = self.sizes.iter().skip(begin.unwrap_or_default());
        let points =
            of_last.filter_map(|size| Some((f64::from(size.schools), *size.figures.get(work)?)));
        points.collect()
    }

    fn trends(&self) -> impl Iterator<Item = [String; 4]> {
        (0..).zip(&WORK).filter_map(|(n, (name, _, of))| {
            let stored = Trend::of(&self.by_stored(n), false);
            let schools = Trend::of(&self.by_schools(n), *of == Of::AllSchools);
            if stored.is_none() && schools.is_none() {
                return None;
            }
            let both = [stored, schools];
            let is_met = both.into_iter().flatten().all(Trend::is_met);
            let [stored, schools] = both.map(|trend| {
                trend.map_or_else(String::new, |trend| {
                    format!("{:.2} ({:.2})", trend.power, trend.allowed)
                })
            });
            let verdict = if is_met { "met" } else { "missed" };
            Some([(*name).to_owned(), stored, schools, verdict.to_owned()])
        })
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A column for each size: there are fewer of them than figures.
        let mut head = vec!["".to_owned(), "".to_owned()];
        head.extend(
            self.sizes
                .iter()
                .map(|size| format!("{} events, {} schools", size.stored, size.schools)),
        );
        let line = |name: &str, unit: &str, of: &dyn Fn(&Size) -> String| {
            let mut cells = vec![name.to_owned(), unit.to_owned()];
            cells.extend(self.sizes.iter().map(of));
            cells
        };
        let mut rows = vec![line("database", "MiB", &|size| format!("{:.0}", size.mib))];
        for (n, (name, unit, _)) in (0..).zip(&WORK) {
            let figure = |size: &Size| {
                size.figures
                    .get(n)
                    .map_or_else(String::new, |figure| format!("{figure:.2}"))
            };
            rows.push(line(name, unit, &figure));
        }
        write!(f, "{}", output::table_of(head, rows))?;
        let trends: Vec<_> = self.trends().collect();
        if !trends.is_empty() {
            let head = [
                "grows as a power of",
                "stored events",
                "schools",
                "n log n in all",
            ];
            write!(
                f,
                "\n\nIn parentheses the power of what is allowed.\n\n{}",
                output::table(head, trends)
            )?;
        }
        if !self.tables.is_empty() {
            let tables = self
                .tables
                .iter()
                .map(|(name, mib)| [name.clone(), format!("{mib:.0}")]);
            write!(
                f,
                "\n\n{}",
                output::table(["table with its indexes", "MiB"], tables)
            )?;
        }
        let rows = self
            .rows_of_an_event
            .iter()
            .map(|(name, rows)| [(*name).to_owned(), format!("{rows:.2}")]);
        write!(
            f,
            "\n\n{}",
            output::table(["table", "rows of an event"], rows)
        )?;
        if self.debug_build {
            write!(f, "\nThis is a debug build: its results mean little.")?;
        }
        Ok(())
    }
}
