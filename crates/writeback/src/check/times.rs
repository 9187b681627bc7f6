//! The times of the settings, and whether they are in order.

use chrono::NaiveTime;

use crate::{
    findings::Findings,
    rules::{Clock, DayTimes},
    settings::{LocalTime, WritebackSettings},
    text::{clock, quoted},
};

/// The default start of the afternoon.
const NOON: NaiveTime = match NaiveTime::from_hms_opt(12, 0, 0) {
    Some(noon) => noon,
    None => NaiveTime::MIN,
};

/// The times as they are written, with their keys; unreadable ones are missing.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) am_opens: Option<Keyed>,
    pub(super) am: [Option<Keyed>; 3],
    pub(super) pm: [Option<Keyed>; 3],
    pub(super) opens: Option<Keyed>,
    pub(super) closes: Option<Keyed>,
}

/// A time and its key.
#[derive(Clone)]
pub(super) struct Keyed {
    pub(super) key: String,
    pub(super) time: NaiveTime,
    by_default: bool,
}

impl Written {
    pub(super) fn am_clock(&self) -> Clock {
        clock_of(&self.am)
    }

    pub(super) fn pm_clock(&self) -> Clock {
        clock_of(&self.pm)
    }

    pub(super) fn am_opens(&self) -> Option<NaiveTime> {
        self.am_opens.as_ref().map(|keyed| keyed.time)
    }

    pub(super) fn pm_opens(&self) -> NaiveTime {
        self.opens.as_ref().map_or(NOON, |keyed| keyed.time)
    }

    pub(super) fn closes(&self) -> Option<NaiveTime> {
        self.closes.as_ref().map(|keyed| keyed.time)
    }

    /// The times of a day, if it has an end.
    pub(super) fn times(&self) -> Option<DayTimes> {
        Some(DayTimes {
            am: self.am_clock(),
            pm: self.pm_clock(),
            pm_opens: self.pm_opens(),
            closes: self.closes()?,
        })
    }
}

fn clock_of([starts, late, unauthorised]: &[Option<Keyed>; 3]) -> Clock {
    let time = |keyed: &Option<Keyed>| keyed.as_ref().map(|keyed| keyed.time);
    Clock {
        starts: time(starts),
        late: time(late),
        unauthorised: time(unauthorised),
    }
}

/// Reads the usual times and checks their order.
pub(super) fn compile(settings: &WritebackSettings, found: &mut Findings) -> Written {
    let WritebackSettings { am, pm, closes, .. } = settings;
    let mut read = |key: &str, written: &Option<LocalTime>| read(key, written.as_ref(), found);
    let mut written = Written {
        am_opens: read("writeback.am.opens", &am.opens),
        am: [
            read("writeback.am.starts", &am.starts),
            read("writeback.am.late", &am.late),
            read("writeback.am.unauthorised", &am.unauthorised),
        ],
        opens: read("writeback.pm.opens", &pm.opens),
        pm: [
            read("writeback.pm.starts", &pm.starts),
            read("writeback.pm.late", &pm.late),
            read("writeback.pm.unauthorised", &pm.unauthorised),
        ],
        closes: read("writeback.closes", closes),
    };
    if closes.is_none() {
        found.problem(
            "writeback.closes",
            "",
            "the end of the day is missing",
            "write the time from which nothing is written any more, such as closes = \"15:30\"",
        );
    }
    // An unreadable time has its own problem and is not compared with noon as well.
    if written.opens.is_none() && pm.opens.is_none() {
        written.opens = Some(Keyed {
            key: "writeback.pm.opens".to_owned(),
            time: NOON,
            by_default: true,
        });
    }
    in_order(&written, "", found);
    written
}

pub(super) fn read(key: &str, written: Option<&LocalTime>, found: &mut Findings) -> Option<Keyed> {
    let written = written?;
    match written.parse() {
        Some(time) => Some(Keyed {
            key: key.to_owned(),
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

/// `am.opens ≤ am.*`, `starts ≤ late ≤ unauthorised`, `am.* < pm.opens ≤ pm.*`, `pm.* < closes`. Only pairs with a key that
/// begins with `table` are reported, at that key.
pub(super) fn in_order(times: &Written, table: &str, found: &mut Findings) {
    let Written {
        am_opens,
        am,
        pm,
        opens,
        closes,
    } = times;
    let mut report = |this: &Keyed, other: &Keyed, order: Order| {
        if this.key.starts_with(table) {
            report(this, other, order, found);
        } else if other.key.starts_with(table) {
            report(other, this, order.seen_from_the_other(), found);
        }
    };
    for session in [am, pm] {
        let times: Vec<_> = session.iter().flatten().collect();
        for pair in times.windows(2) {
            if let [earlier, later] = pair
                && earlier.time > later.time
            {
                report(earlier, later, Order::NOT_AFTER);
            }
        }
    }
    for early in am.iter().flatten() {
        if let Some(opens) = am_opens
            && opens.time > early.time
        {
            report(early, opens, Order::NOT_BEFORE);
        }
    }
    for early in am_opens.iter().chain(am.iter().flatten()) {
        if let Some(opens) = opens
            && early.time >= opens.time
        {
            report(early, opens, Order::BEFORE);
        }
    }
    for late in pm.iter().flatten() {
        if let Some(opens) = opens
            && opens.time > late.time
        {
            report(late, opens, Order::NOT_BEFORE);
        }
    }
    for late in opens.iter().chain(pm.iter().flatten()) {
        if let Some(closes) = closes
            && late.time >= closes.time
        {
            report(late, closes, Order::BEFORE);
        }
    }
}

/// An order of two times that does not hold.
#[derive(Clone, Copy)]
struct Order {
    is: &'static str,
    should_be: &'static str,
}

impl Order {
    const NOT_AFTER: Self = Self {
        is: "is after",
        should_be: "not after",
    };
    const NOT_BEFORE: Self = Self {
        is: "is before",
        should_be: "not before",
    };
    const BEFORE: Self = Self {
        is: "is not before",
        should_be: "before",
    };
    const AFTER: Self = Self {
        is: "is not after",
        should_be: "after",
    };

    fn seen_from_the_other(self) -> Self {
        match self.should_be {
            "not after" => Self::NOT_BEFORE,
            "not before" => Self::NOT_AFTER,
            _ => Self::AFTER,
        }
    }
}

fn report(this: &Keyed, other: &Keyed, order: Order, found: &mut Findings) {
    let other_key = other.key.trim_start_matches("writeback.");
    let this_key = this.key.trim_start_matches("writeback.");
    let default = |keyed: &Keyed| {
        if keyed.by_default {
            " (the default)"
        } else {
            ""
        }
    };
    let Order { is, should_be } = order;
    found.problem(
        &this.key,
        format!("\"{}\"{}", clock(this.time), default(this)),
        format!(
            "{is} {other_key} = \"{}\"{}",
            clock(other.time),
            default(other)
        ),
        format!("set {this_key} to a time {should_be} {other_key}, or move {other_key}"),
    );
}
