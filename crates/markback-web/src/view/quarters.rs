//! A day by quarters of an hour: the same as its picture in words and numbers, and its form on a telephone.

use std::collections::BTreeMap;

use chrono::{NaiveTime, Timelike as _};
use chrono_tz::Tz;
use markback::day::DayEvent;
use mis_core::EventKind;

use super::state::Outcome;

/// The width of a full bar.
const BAR: usize = 100;

/// A quarter of an hour with events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarter {
    /// When it begins: `08:45`.
    pub begins: String,
    /// How many signed in.
    pub ins: usize,
    /// How many signed out.
    pub outs: usize,
    /// How many there are of each outcome in words, those that matter most first. None is zero.
    pub outcomes: Vec<(Outcome, String)>,
    /// The parts of its bar.
    pub bar: Vec<BarPart>,
}

/// A part of a bar, in hundredths of the longest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarPart {
    /// Where it begins.
    pub x: String,
    /// How long it is.
    pub width: String,
    /// Its class in the style.
    pub class: &'static str,
}

/// The quarters of an hour that have events, in order.
pub fn quarters(events: &[DayEvent], timezone: Tz) -> Vec<Quarter> {
    type Tally = (usize, usize, BTreeMap<Outcome, usize>);
    let mut tallies: BTreeMap<NaiveTime, Tally> = BTreeMap::new();
    for event in events {
        let time = event.at.with_timezone(&timezone).time();
        let begins = NaiveTime::from_hms_opt(time.hour(), time.minute() / 15 * 15, 0);
        let (ins, outs, outcomes) = tallies.entry(begins.unwrap_or_default()).or_default();
        match event.kind {
            EventKind::SignIn => *ins += 1,
            EventKind::SignOut => *outs += 1,
        }
        *outcomes.entry(Outcome::of(event.state)).or_default() += 1;
    }
    let longest = tallies.values().map(|(ins, outs, _)| ins + outs).max();
    let longest = longest.unwrap_or(1).max(1);
    tallies
        .into_iter()
        .map(|(begins, (ins, outs, outcomes))| Quarter {
            begins: begins.format("%H:%M").to_string(),
            ins,
            outs,
            bar: bar(&outcomes, longest),
            outcomes: outcomes
                .into_iter()
                .map(|(outcome, number)| (outcome, format!("{number} {}", outcome.after(number))))
                .collect(),
        })
        .collect()
}

fn bar(outcomes: &BTreeMap<Outcome, usize>, longest: usize) -> Vec<BarPart> {
    let mut before = 0;
    // In tenths, so that no number has a long tail of digits.
    let tenths = |number: usize| number * BAR * 10 / longest;
    let text = |tenths: usize| match (tenths / 10, tenths % 10) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => format!("{whole}.{rest}"),
    };
    outcomes
        .iter()
        .map(|(outcome, number)| {
            let from = tenths(before);
            before += number;
            BarPart {
                x: text(from),
                width: text(tenths(before) - from),
                class: outcome.class(),
            }
        })
        .collect()
}
