//! A day as one picture: time from left to right, sign-ins above a line, sign-outs below it, and on top what needs a person.
//!
//! A sign-in or sign-out is a dot. Dots of one outcome are one path of strokes without length, whose round ends are the dots:
//! about ten bytes each, so a day of a large school is a small page.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::{DateTime, NaiveTime, Timelike as _, Utc};
use chrono_tz::Tz;
use markback::day::{Day, DayEvent};
use mis_core::EventKind;
use writeback::{SessionTimes, TimesOfDay};

use super::state::Outcome;

/// The width in units of the picture.
const WIDTH: f64 = 1_200.0;
/// The margin left and right.
const MARGIN: f64 = 30.0;
/// Where the dots may begin.
const TOP: f64 = 54.0;
/// The most that sign-ins and sign-outs may take.
const INS: f64 = 236.0;
const OUTS: f64 = 96.0;
/// The least that they take, so that the picture of an empty day is not a line.
const INS_LEAST: f64 = 110.0;
const OUTS_LEAST: f64 = 40.0;
/// The widths of dots that are tried, from the largest: those of a small school, and of a large one.
const PITCHES: [f64; 11] = [9.0, 8.0, 7.0, 6.0, 5.0, 4.5, 4.0, 3.5, 3.0, 2.5, 2.0];
/// The width in which marks of what needs a person become one with a number.
const FLAG_BIN: f64 = 30.0;
/// From this width on, a dot is large enough for a ring.
const RING_FROM: f64 = 4.5;

/// The picture of a day.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The height.
    pub height: String,
    /// Full hours.
    pub hours: Vec<Hour>,
    /// Late and unauthorised times.
    pub bands: Vec<Band>,
    /// The line between sign-ins and sign-outs.
    pub base: String,
    /// The dots, by outcome.
    pub dots: Vec<Dots>,
    /// What needs a person.
    pub flags: Vec<Flag>,
    /// The present time.
    pub now: Option<String>,
    /// Where bands begin and end.
    pub top: String,
    /// See `top`.
    pub bottom: String,
    /// Between the two.
    pub inner: String,
}

/// A full hour.
#[derive(Clone, Debug)]
pub struct Hour {
    /// Where it is.
    pub x: String,
    /// Its text: `09:00`.
    pub label: String,
}

/// A time in which a sign-in is not in time.
#[derive(Clone, Debug)]
pub struct Band {
    /// Where it begins.
    pub x: String,
    /// How wide it is.
    pub width: String,
    /// `late` or `closed`.
    pub class: &'static str,
    /// Its words: `late after 09:00`.
    pub label: String,
    /// Whether the words end where it begins.
    pub before: bool,
}

/// The dots of one outcome.
#[derive(Clone, Debug)]
pub struct Dots {
    /// The class in the style.
    pub class: &'static str,
    /// The path.
    pub path: String,
    /// How wide a dot is.
    pub width: String,
    /// How wide its hole is, if it is a ring.
    pub hole: Option<String>,
}

/// A mark for what needs a person.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Where it is.
    pub x: String,
    /// The class in the style.
    pub class: &'static str,
    /// The path of its shape.
    pub shape: &'static str,
    /// How many there are, unless it is one.
    pub count: Option<usize>,
}

/// Draws a day. `now` is the present time, if it is today.
pub fn draw(day: &Day, timezone: Tz, now: Option<DateTime<Utc>>) -> Picture {
    let times = day.times.first().map(|of| &of.times);
    let scale = Scale::of(day, times, timezone);
    let pitch = scale.pitch(&day.events);
    let mut stacks = Stacks::default();
    let mut flags: BTreeMap<(i64, Outcome), usize> = BTreeMap::new();
    for event in &day.events {
        let x = scale.x_at(event.at);
        match Outcome::of(event.state) {
            outcome @ (Outcome::Needs | Outcome::Held) => {
                *flags.entry((bin(x, FLAG_BIN), outcome)).or_default() += 1;
            }
            outcome => {
                let stack = stacks
                    .0
                    .entry((event.kind == EventKind::SignOut, bin(x, pitch)));
                *stack.or_default().entry(outcome).or_default() += 1;
            }
        }
    }
    let (ins, outs) = (stacks.highest(false), stacks.highest(true));
    let room = |highest: usize, least: f64, most: f64| (tall(highest) * pitch).clamp(least, most);
    let (room_in, room_out) = (room(ins, INS_LEAST, INS), room(outs, OUTS_LEAST, OUTS));
    let base = TOP + room_in + 4.0;
    let bottom = base + room_out + 8.0;
    Picture {
        height: text(bottom + 20.0),
        hours: scale.hours(),
        bands: times.map_or_else(Vec::new, |times| bands(times, &scale)),
        base: text(base),
        dots: stacks.dots(pitch, base, [room_in, room_out]),
        flags: flags.into_iter().map(flag).collect(),
        now: now.map(|now| text(scale.x_at(now))),
        top: text(TOP - 32.0),
        bottom: text(bottom),
        inner: text(bottom - TOP + 32.0),
    }
}

/// From time to place.
struct Scale {
    from: f64,
    until: f64,
    timezone: Tz,
}

impl Scale {
    /// From half an hour before anything happens to the end of the day.
    fn of(day: &Day, times: Option<&TimesOfDay>, timezone: Tz) -> Self {
        let minutes = |event: &DayEvent| minutes(event.at.with_timezone(&timezone).time());
        let first = day.events.first().map_or(f64::MAX, minutes);
        let last = day.events.last().map_or(0.0, minutes);
        let late = times.and_then(|times| times.am.late.or(times.am.unauthorised));
        let begins = late.map_or(8.0 * 60.0, |late| minutes_of(late) - 60.0);
        let closes = times.map_or(15.5 * 60.0, |times| minutes_of(times.closes));
        let half = |minutes: f64| minutes / 30.0;
        Self {
            from: (half(first.min(begins)).floor() * 30.0).max(0.0),
            until: (half(last.max(closes)).ceil() * 30.0).clamp(60.0, 24.0 * 60.0),
            timezone,
        }
    }

    fn x(&self, minutes: f64) -> f64 {
        let share = (minutes - self.from) / (self.until - self.from).max(1.0);
        MARGIN + share.clamp(0.0, 1.0) * (WIDTH - 2.0 * MARGIN)
    }

    fn x_of(&self, time: NaiveTime) -> f64 {
        self.x(minutes_of(time))
    }

    fn x_at(&self, at: DateTime<Utc>) -> f64 {
        self.x(minutes(at.with_timezone(&self.timezone).time()))
    }

    fn hours(&self) -> Vec<Hour> {
        let hours = (0..=24_u32).map(|hour| (hour, f64::from(hour) * 60.0));
        let shown = hours.filter(|(_, minutes)| (self.from..=self.until).contains(minutes));
        shown
            .map(|(hour, minutes)| Hour {
                x: text(self.x(minutes)),
                label: format!("{hour:02}:00"),
            })
            .collect()
    }

    /// The largest width of dots with which the highest stacks have room; the smallest one if there is none.
    fn pitch(&self, events: &[DayEvent]) -> f64 {
        let fits = |pitch: &f64| {
            let mut highest: BTreeMap<(bool, i64), usize> = BTreeMap::new();
            for event in events {
                let out = event.kind == EventKind::SignOut;
                *highest
                    .entry((out, bin(self.x_at(event.at), *pitch)))
                    .or_default() += 1;
            }
            highest
                .into_iter()
                .all(|((out, _), number)| tall(number) * pitch <= if out { OUTS } else { INS })
        };
        PITCHES.into_iter().find(fits).unwrap_or(2.0)
    }
}

/// The dots of each column, above or below the line, by outcome.
#[derive(Default)]
struct Stacks(BTreeMap<(bool, i64), BTreeMap<Outcome, usize>>);

impl Stacks {
    fn highest(&self, out: bool) -> usize {
        let own = self.0.iter().filter(|((below, _), _)| *below == out);
        own.map(|(_, stack)| stack.values().sum())
            .max()
            .unwrap_or(0)
    }

    fn dots(&self, pitch: f64, base: f64, [room_in, room_out]: [f64; 2]) -> Vec<Dots> {
        let (ins, outs) = (self.highest(false), self.highest(true));
        // If even the smallest dots have no room, they overlap.
        let step = |highest: usize, room: f64| pitch.min(room / tall(highest).max(1.0));
        let (step_in, step_out) = (step(ins, room_in), step(outs, room_out));
        let mut paths: BTreeMap<Outcome, String> = BTreeMap::new();
        for ((out, column), stack) in &self.0 {
            let x = text((column_start(*column) + 0.5) * pitch);
            let mut row = 0.5;
            // Marks in the register are next to the line.
            for (outcome, number) in stack
                .iter()
                .rev()
                .filter(|(outcome, _)| **outcome != Outcome::Nothing)
                .chain(stack.get_key_value(&Outcome::Nothing))
            {
                for _ in 0..*number {
                    let y = if *out {
                        base + 2.0 + row * step_out
                    } else {
                        base - 2.0 - row * step_in
                    };
                    let path = paths.entry(*outcome).or_default();
                    // Writing to a string cannot fail.
                    let _ = write!(path, "M{x} {}h0", text(y));
                    row += 1.0;
                }
            }
        }
        let dots = |(outcome, path): (Outcome, String)| {
            let is_ring = outcome != Outcome::Done && pitch >= RING_FROM;
            let width = pitch
                * if outcome == Outcome::Nothing {
                    0.7
                } else {
                    0.9
                };
            let rim = if outcome == Outcome::Nothing {
                2.0
            } else {
                3.2
            };
            Dots {
                class: outcome.class(),
                path,
                width: text(width),
                hole: is_ring.then(|| text((width - rim).max(1.0))),
            }
        };
        paths.into_iter().map(dots).collect()
    }
}

fn bands(times: &TimesOfDay, scale: &Scale) -> Vec<Band> {
    let mut bands = Vec::new();
    for (session, ends) in [(times.am, times.pm_opens), (times.pm, times.closes)] {
        bands.extend(bands_of(session, ends, scale));
    }
    bands
}

fn bands_of(session: SessionTimes, ends: NaiveTime, scale: &Scale) -> Vec<Band> {
    let band = |from: NaiveTime, until: NaiveTime, class, words: &str, before| Band {
        x: text(scale.x_of(from)),
        width: text((scale.x_of(until) - scale.x_of(from)).max(0.0)),
        class,
        label: format!("{words} {}", from.format("%H:%M")),
        before,
    };
    let late = session.late.map(|late| {
        band(
            late,
            session.unauthorised.unwrap_or(ends),
            "late",
            "late after",
            session.unauthorised.is_some(),
        )
    });
    let closed = session
        .unauthorised
        .map(|closes| band(closes, ends, "closed", "register closes", false));
    late.into_iter().chain(closed).collect()
}

fn flag(((column, outcome), number): ((i64, Outcome), usize)) -> Flag {
    Flag {
        x: text((column_start(column) + 0.5) * FLAG_BIN),
        class: outcome.class(),
        shape: outcome.shape(),
        count: (number > 1).then_some(number),
    }
}

fn minutes(time: NaiveTime) -> f64 {
    f64::from(time.num_seconds_from_midnight()) / 60.0
}

fn minutes_of(time: NaiveTime) -> f64 {
    minutes(time)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a place in the picture is at most its width"
)]
fn bin(x: f64, width: f64) -> i64 {
    (x / width).floor() as i64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a column's number is at most the picture's width"
)]
fn column_start(column: i64) -> f64 {
    column as f64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a stack has at most as many dots as a day has events"
)]
fn tall(number: usize) -> f64 {
    number as f64
}

/// A number with one digit after the point, and none if that is zero.
fn text(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
