//! The sandbox as a program: starts it, prints its addresses, and runs until interrupted.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::{Parser, ValueEnum};
use comfy_table::Table;
use serde_json::json;
use wonde_sandbox::{Clock, FaultRule, Sandbox, SandboxOptions};

/// A stateful simulator of the Wonde API, with made-up schools. It is not Wonde.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Port on loopback; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Seed of all people, ids and timetables.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Number of schools. The first 11 have the known MISs, the 12th an unknown one.
    #[arg(long, default_value_t = 3)]
    schools: u32,
    /// Pupils at each school.
    #[arg(long, default_value_t = 240)]
    pupils: u32,
    /// Delay from accepting a register to writing it into the MIS, as 500ms, 2s, 3m or 1h.
    #[arg(long, default_value = "2s", value_parser = duration)]
    write_delay: Duration,
    /// Interval between extractions of the register; 0s keeps the API's copy up to date.
    #[arg(long, default_value = "1h", value_parser = duration)]
    extract_every: Duration,
    /// Start of the sandbox's clock, as a date (07:00 UTC) or time (RFC 3339); now by default.
    #[arg(long, value_parser = moment)]
    date: Option<DateTime<Utc>>,
    /// Speed of the sandbox's clock relative to real time.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Let only the mark fail if its pupil or code is unknown, instead of rejecting the register.
    #[arg(long)]
    partial: bool,
    /// Requests per minute and token, above which the response is 429.
    #[arg(long)]
    rate_limit: Option<u32>,
    /// Share of requests that hit a fault from a mix of temporary ones, from 0 to 1.
    #[arg(long)]
    fault_share: Option<f64>,
    /// Address for webhooks: http on loopback.
    #[arg(long)]
    webhook_url: Option<String>,
    /// Format of the start message.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// One line of JSON for scripts.
    Json,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let sandbox = Sandbox::start(options(&args)?).await?;
    announce(&sandbox, args.format).context("the start message could not be printed")?;
    until_interrupted().await?;
    sandbox.stop().await;
    Ok(())
}

fn options(args: &Args) -> Result<SandboxOptions> {
    let faults = match args.fault_share {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            bail!("--fault-share {share} is not from 0 to 1")
        }
        Some(share) => FaultRule::mix(args.seed, share),
        None => Vec::new(),
    };
    Ok(SandboxOptions {
        seed: args.seed,
        schools: args.schools,
        pupils_per_school: args.pupils,
        clock: clock(args.date, args.speed)?,
        write_delay: args.write_delay,
        extraction_every: args.extract_every,
        partial: args.partial,
        rate_limit: args.rate_limit,
        port: args.port,
        faults,
        webhook_url: args.webhook_url.clone(),
        ..SandboxOptions::default()
    })
}

/// A clock that starts at `from` and runs at `speed` times real time.
fn clock(from: Option<DateTime<Utc>>, speed: f64) -> Result<Clock> {
    if !(0.0..=100_000.0).contains(&speed) {
        bail!("--speed {speed} is not from 0 to 100000");
    }
    let real = std::time::Instant::now();
    let from = from.unwrap_or_else(Utc::now);
    Ok(Arc::new(move || {
        let passed = real.elapsed().as_secs_f64() * speed * 1_000.0;
        // Less than a million years, so it fits.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "fractions of a millisecond are dropped"
        )]
        let passed = TimeDelta::try_milliseconds(passed as i64).unwrap_or_default();
        from.checked_add_signed(passed).unwrap_or(from)
    }))
}

fn announce(sandbox: &Sandbox, format: Format) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let schools = sandbox.schools();
    match format {
        Format::Json => {
            let line = json!({
                "base_url": sandbox.base_url(),
                "wrong_region_url": sandbox.wrong_region_url(),
                "control_url": sandbox.control_url(),
                "token": sandbox.token(),
                "now": sandbox.now(),
                "schools": schools,
            });
            writeln!(out, "{line}")?;
        }
        Format::Table => {
            let mut table = Table::new();
            table.set_header(["id", "name", "MIS", "marks", "time zone"]);
            for school in schools.iter().take(100) {
                let marks = if school.writes {
                    school.register
                } else {
                    "none"
                };
                table.add_row([
                    &school.id,
                    &school.name,
                    &school.mis,
                    marks,
                    &school.timezone,
                ]);
            }
            writeln!(out, "API      {}", sandbox.base_url())?;
            writeln!(out, "token    {}", sandbox.token())?;
            writeln!(out, "control  {} (no token)", sandbox.control_url())?;
            writeln!(out, "wrong region  {}", sandbox.wrong_region_url())?;
            writeln!(out, "{table}")?;
            if schools.len() > 100 {
                writeln!(out, "and {} more", schools.len() - 100)?;
            }
        }
    }
    out.flush()
}

async fn until_interrupted() -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn duration(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| anyhow!("{text} is not a duration; write 500ms, 2s, 3m or 1h"))?;
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => bail!("{text} has no known unit; write 500ms, 2s, 3m or 1h"),
    };
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

fn moment(text: &str) -> Result<DateTime<Utc>> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        let seven = NaiveTime::from_hms_opt(7, 0, 0).unwrap_or_default();
        return Ok(date.and_time(seven).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|t| t.with_timezone(&Utc))
        .map_err(|_| {
            anyhow!("{text} is neither a date like 2026-11-23 nor a time like 2026-11-23T08:30:00Z")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1h").unwrap(), Duration::from_secs(3_600));
        for bad in ["", "5", "h", "-1s", "1.5s", "2 s", "3weeks"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clock_starts_at_the_given_time() {
        let from = moment("2026-11-23").unwrap();
        assert_eq!(from.to_rfc3339(), "2026-11-23T07:00:00+00:00");
        assert!(moment("yesterday").is_err());
        assert_eq!(clock(Some(from), 0.0).unwrap()(), from);
        assert!(clock(None, -1.0).is_err());
    }
}
