//! Prints any resource of a school as JSON lines or CSV.
//!
//! ```sh
//! export WONDE_TOKEN=…
//! cargo run -p wonde --example wonde -- resources
//! cargo run -p wonde --example wonde -- schools
//! cargo run -p wonde --example wonde -- students --school A1930499544 --include year,registration
//! cargo run -p wonde --example wonde -- attendance/session --school A1930499544 --updated-after 2026-11-23T00:00:00Z
//! cargo run -p wonde --example wonde -- classes --school A1930499544 --filter has_students=true --format csv
//! cargo run -p wonde --example wonde -- doctors --school A1930499544 --id A1139736963
//! ```
//!
//! Rows go to standard output, progress and errors to standard error. **The output holds personal data.**

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use clap::{Parser, ValueEnum};
use futures::{StreamExt as _, stream::BoxStream};
use indicatif::ProgressBar;
use secrecy::SecretString;
use serde_json::{Map, Value};
use wonde::{
    Client, DEFAULT_BASE_URL, ListQuery, OpenRecord, Paging, Resource, SchoolList, resources,
};

/// Prints any resource of a school as JSON lines or CSV. The token is read from WONDE_TOKEN.
#[derive(Parser)]
struct Args {
    /// `students`, `attendance/session` and so on; `schools` lists schools, `resources` what there is
    resource: String,
    /// The school's id
    #[arg(long)]
    school: Option<String>,
    /// Only this record
    #[arg(long)]
    id: Option<String>,
    /// What to include, such as `year,contacts.contact_details`
    #[arg(long, value_delimiter = ',')]
    include: Vec<String>,
    /// A filter by Wonde's name for it; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Only rows that changed after this time
    #[arg(long, value_name = "TIME")]
    updated_after: Option<DateTime<Utc>>,
    /// Rows per request
    #[arg(long, default_value_t = wonde::PER_PAGE)]
    per_page: u16,
    /// Page by cursor, for long lists
    #[arg(long)]
    cursor: bool,
    /// How to print. CSV needs all rows at once to know its columns
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Another address than Wonde's own
    #[arg(long, env = "WONDE_URL", default_value = DEFAULT_BASE_URL)]
    base_url: String,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// One JSON object per line
    Json,
    /// Comma-separated values; what is nested is JSON
    Csv,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    if args.resource == "resources" {
        let mut out = io::stdout().lock();
        for resource in resources::ALL {
            writeln!(
                out,
                "{:<28} [{}] {:?}",
                resource.path(),
                resource.source(),
                resource.writes()
            )?;
        }
        return Ok(());
    }
    let token = std::env::var("WONDE_TOKEN").context("put the token into WONDE_TOKEN")?;
    let client = Client::builder(SecretString::from(token.trim()))
        .base_url(&args.base_url)
        .build()?;
    let progress = ProgressBar::new_spinner();
    progress.set_message(format!("{}: asking", args.resource));
    let mut rows = rows(args, &client).await?;
    let mut table = Vec::new();
    while let Some(row) = rows.next().await {
        let row = row?.into_map();
        progress.inc(1);
        progress.set_message(format!("{}: {} rows", args.resource, progress.position()));
        match args.format {
            Format::Json => writeln!(io::stdout(), "{}", Value::Object(row))?,
            Format::Csv => table.push(row),
        }
    }
    if args.format == Format::Csv {
        csv(&table)?;
    }
    progress.finish_with_message(format!("{}: {} rows", args.resource, progress.position()));
    Ok(())
}

async fn rows(
    args: &Args,
    client: &Client,
) -> Result<BoxStream<'static, wonde::Result<OpenRecord>>> {
    let mut query = ListQuery {
        updated_after: args.updated_after,
        include: args.include.clone(),
        per_page: args.per_page,
        paging: if args.cursor {
            Paging::Cursor
        } else {
            Paging::Pages
        },
        ..ListQuery::new()
    };
    for filter in &args.filter {
        let (name, value) = filter
            .split_once('=')
            .context("write a filter as NAME=VALUE")?;
        query = query.filter(name, value);
    }
    if args.resource == "schools" {
        let schools = client.schools(SchoolList::Approved);
        return Ok(schools.map(|school| school.map(school_row)).boxed());
    }
    let Some(id) = &args.school else {
        bail!("name the school with --school; `schools` lists those there are");
    };
    let Some(resource) = Resource::find(&args.resource) else {
        bail!(
            "there is no resource `{}`; `resources` lists those there are",
            args.resource
        );
    };
    let school = client.at(&client.school(&id.as_str().into()).await?)?;
    let Some(id) = &args.id else {
        return Ok(school.list(resource, query));
    };
    let include: Vec<&str> = args.include.iter().map(String::as_str).collect();
    let record = school.get(resource, id, &include).await;
    Ok(futures::stream::once(async { record }).boxed())
}

fn school_row(school: wonde::School) -> OpenRecord {
    let text = |text: Option<String>| text.map_or(Value::Null, Value::String);
    [
        ("id", Value::String(school.id.into())),
        ("name", text(school.name)),
        ("mis", text(school.mis)),
        (
            "domain",
            text(school.region.and_then(|region| region.domain)),
        ),
    ]
    .into_iter()
    .collect()
}

fn csv(table: &[Map<String, Value>]) -> Result<()> {
    let columns: BTreeSet<&String> = table.iter().flat_map(Map::keys).collect();
    let mut out = csv::Writer::from_writer(io::stdout().lock());
    out.write_record(&columns)?;
    for row in table {
        out.write_record(columns.iter().map(|column| cell(row.get(*column))))?;
    }
    out.flush()?;
    Ok(())
}

/// Plain values as they are, times as their date, and everything else as JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => match value.get("date").and_then(Value::as_str) {
            Some(date) => date.to_owned(),
            None => value.to_string(),
        },
    }
}
