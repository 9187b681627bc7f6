//! The times of the settings, and whether they are in order.

use chrono::NaiveTime;

use crate::{
    findings::Findings,
    rules::Clock,
    settings::{LocalTime, WritebackSettings},
    text::{clock, quoted},
};

/// The default start of the afternoon.
const NOON: NaiveTime = match NaiveTime::from_hms_opt(12, 0, 0) {
    Some(noon) => noon,
    None => NaiveTime::MIN,
};

/// The times; unreadable ones are missing.
pub(super) struct Times {
    pub(super) am: Clock,
    pub(super) pm: Clock,
    pub(super) am_opens: Option<NaiveTime>,
    pub(super) pm_opens: NaiveTime,
    pub(super) closes: Option<NaiveTime>,
}

/// A time and its key.
#[derive(Clone, Copy)]
struct Keyed {
    key: &'static str,
    time: NaiveTime,
    by_default: bool,
}

pub(super) fn compile(settings: &WritebackSettings, found: &mut Findings) -> Times {
    let WritebackSettings { am, pm, closes, .. } = settings;
    let mut read = |key, written: &Option<LocalTime>| read(key, written.as_ref(), found);
    let am_opens = read("writeback.am.opens", &am.opens);
    let am_times = [
        read("writeback.am.starts", &am.starts),
        read("writeback.am.late", &am.late),
        read("writeback.am.unauthorised", &am.unauthorised),
    ];
    let opens = read("writeback.pm.opens", &pm.opens);
    let pm_times = [
        read("writeback.pm.starts", &pm.starts),
        read("writeback.pm.late", &pm.late),
        read("writeback.pm.unauthorised", &pm.unauthorised),
    ];
    let closes_at = read("writeback.closes", closes);

    if closes.is_none() {
        found.problem(
            "writeback.closes",
            "",
            "the end of the day is missing",
            "write the time from which nothing is written any more, such as closes = \"15:30\"",
        );
    }
    // An unreadable time has its own problem and is not compared with noon as well.
    let opens = opens.or_else(|| {
        pm.opens.is_none().then_some(Keyed {
            key: "writeback.pm.opens",
            time: NOON,
            by_default: true,
        })
    });
    in_order(am_opens, &am_times, &pm_times, opens, closes_at, found);

    let clock = |[starts, late, unauthorised]: [Option<Keyed>; 3]| Clock {
        starts: starts.map(|keyed| keyed.time),
        late: late.map(|keyed| keyed.time),
        unauthorised: unauthorised.map(|keyed| keyed.time),
    };
    Times {
        am: clock(am_times),
        pm: clock(pm_times),
        am_opens: am_opens.map(|keyed| keyed.time),
        pm_opens: opens.map_or(NOON, |keyed| keyed.time),
        closes: closes_at.map(|keyed| keyed.time),
    }
}

fn read(key: &'static str, written: Option<&LocalTime>, found: &mut Findings) -> Option<Keyed> {
    let written = written?;
    match written.parse() {
        Some(time) => Some(Keyed {
            key,
            time,
            by_default: false,
        }),
        None => {
            found.problem(
                key,
                quoted([written.as_str()]),
                "is not a time of day",
                "write hours and minutes, seconds if need be: \"09:00\" or \"09:00:30\"",
            );
            None
        }
    }
}

/// `am.opens ≤ am.*`, `starts ≤ late ≤ unauthorised`, `am.* < pm.opens ≤ pm.*`, `pm.* < closes`.
fn in_order(
    am_opens: Option<Keyed>,
    am: &[Option<Keyed>; 3],
    pm: &[Option<Keyed>; 3],
    opens: Option<Keyed>,
    closes: Option<Keyed>,
    found: &mut Findings,
) {
    for session in [am, pm] {
        let times: Vec<_> = session.iter().flatten().collect();
        for pair in times.windows(2) {
            if let [earlier, later] = pair
                && earlier.time > later.time
            {
                report(earlier, later, "is after", "not after", found);
            }
        }
    }
    for early in am.iter().flatten() {
        if let Some(opens) = &am_opens
            && opens.time > early.time
        {
            report(early, opens, "is before", "not before", found);
        }
    }
    for early in am_opens.iter().chain(am.iter().flatten()) {
        if let Some(opens) = &opens
            && early.time >= opens.time
        {
            report(early, opens, "is not before", "before", found);
        }
    }
    for late in pm.iter().flatten() {
        if let Some(opens) = &opens
            && opens.time > late.time
        {
            report(late, opens, "is before", "not before", found);
        }
    }
    for late in opens.iter().chain(pm.iter().flatten()) {
        if let Some(closes) = &closes
            && late.time >= closes.time
        {
            report(late, closes, "is not before", "before", found);
        }
    }
}

fn report(this: &Keyed, other: &Keyed, is: &str, should_be: &str, found: &mut Findings) {
    let other_key = other.key.trim_start_matches("writeback.");
    let this_key = this.key.trim_start_matches("writeback.");
    let default = |keyed: &Keyed| {
        if keyed.by_default {
            " (the default)"
        } else {
            ""
        }
    };
    found.problem(
        this.key,
        format!("\"{}\"{}", clock(this.time), default(this)),
        format!(
            "{is} {other_key} = \"{}\"{}",
            clock(other.time),
            default(other)
        ),
        format!("set {this_key} to a time {should_be} {other_key}, or move {other_key}"),
    );
}
