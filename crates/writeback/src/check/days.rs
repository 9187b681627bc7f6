//! The days whose times differ from the usual ones: each is the usual day with some of its times replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{Datelike, NaiveDate, Weekday};

use super::times::{Keyed, Written, in_order, read};
use crate::{
    findings::Findings,
    rules::{DayTimes, OtherDayRules, OtherTimes},
    settings::{Days, LocalTime, OtherDay, WritebackSettings},
    text::{clock, quoted},
};

/// A day that an entry may name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// Days after Monday.
    Weekly(u32),
    Date(NaiveDate),
}

pub(super) fn compile(
    settings: &WritebackSettings,
    usual: &Written,
    school_days: &[Weekday],
    closed: &BTreeSet<NaiveDate>,
    found: &mut Findings,
) -> OtherTimes {
    let mut all = OtherTimes::default();
    let mut taken: BTreeMap<Named, usize> = BTreeMap::new();
    let mut clashes: BTreeMap<(usize, usize), Named> = BTreeMap::new();
    for (place, entry) in settings.day.iter().enumerate() {
        let table = format!("writeback.day[{place}]");
        let named = named_days(&table, entry, found);
        hint_at_days_off(&table, &named, school_days, closed, found);
        let written = replaced(&table, entry, usual, found);
        let Some((times, usual)) = written.times().zip(usual.times()) else {
            continue;
        };
        let rules = Arc::new(OtherDayRules {
            times,
            differing: differing(&times, &usual),
            why: entry.why.clone(),
        });
        for day in named {
            if let Some(first) = taken.get(&day).filter(|first| **first != place) {
                clashes.entry((*first, place)).or_insert(day);
                continue;
            }
            taken.insert(day, place);
            match day {
                Named::Date(date) => {
                    all.dates.insert(date, rules.clone());
                }
                Named::Weekly(number) => {
                    let at = usize::try_from(number).ok();
                    if let Some(slot) = at.and_then(|at| all.weekdays.get_mut(at)) {
                        *slot = Some(rules.clone());
                    }
                }
            }
        }
    }
    for ((first, second), day) in clashes {
        for (this, other) in [(first, second), (second, first)] {
            found.problem(
                format!("writeback.day[{this}].on"),
                words(day),
                format!("day[{other}] has this day as well"),
                "name each day in one entry only",
            );
        }
    }
    all
}

/// The days of an entry; invalid ones are reported.
fn named_days(table: &str, entry: &OtherDay, found: &mut Findings) -> Vec<Named> {
    let key = format!("{table}.on");
    if entry.on.0.is_empty() {
        found.problem(
            &key,
            "",
            "there is no day to which the times apply",
            "name days of the week or dates: on = [\"friday\"] or on = [\"2026-12-18\"]",
        );
    }
    let mut named = Vec::new();
    for day in &entry.on.0 {
        match day.parse() {
            Some(Days::Weekly(day)) => named.push(Named::Weekly(day.num_days_from_monday())),
            Some(Days::Dates(range)) => named.extend(range.dates().map(Named::Date)),
            None => found.problem(
                &key,
                quoted([day.as_str()]),
                "is not a day",
                "write a day of the week (\"friday\"), a date (\"2026-12-18\"), or the first and the last date of at most 400 \
                 days (\"2026-12-14..2026-12-18\")",
            ),
        }
    }
    named
}

/// The usual times with those of the entry in their place, in order.
fn replaced(table: &str, entry: &OtherDay, usual: &Written, found: &mut Findings) -> Written {
    let OtherDay { am, pm, closes, .. } = entry;
    let own = [
        &am.starts,
        &am.late,
        &am.unauthorised,
        &pm.opens,
        &pm.starts,
        &pm.late,
        &pm.unauthorised,
        closes,
    ];
    if own.iter().all(|time| time.is_none()) {
        found.problem(
            table,
            "",
            "it changes no time",
            "add the times that differ on these days, such as closes = \"12:30\"; a day without school belongs into `closed`",
        );
    }
    let mut take = |key: &str, own: &Option<LocalTime>, usual: Option<&Keyed>| match own {
        Some(_) => read(&format!("{table}.{key}"), own.as_ref(), found),
        None => usual.cloned(),
    };
    let [am_starts, am_late, am_unauthorised] = usual.am.each_ref().map(Option::as_ref);
    let [pm_starts, pm_late, pm_unauthorised] = usual.pm.each_ref().map(Option::as_ref);
    let mut written = Written {
        am_opens: usual.am_opens.clone(),
        am: [
            take("am.starts", &am.starts, am_starts),
            take("am.late", &am.late, am_late),
            take("am.unauthorised", &am.unauthorised, am_unauthorised),
        ],
        opens: take("pm.opens", &pm.opens, usual.opens.as_ref()),
        pm: [
            take("pm.starts", &pm.starts, pm_starts),
            take("pm.late", &pm.late, pm_late),
            take("pm.unauthorised", &pm.unauthorised, pm_unauthorised),
        ],
        closes: take("closes", closes, usual.closes.as_ref()),
    };
    // A day that ends early has no afternoon, or a shorter one.
    let mut afternoon = None;
    if closes.is_some()
        && let Some(end) = written.closes()
    {
        let too_late = |keyed: &mut Keyed| !keyed.key.starts_with(table) && keyed.time >= end;
        for time in &mut written.pm {
            time.take_if(too_late);
        }
        afternoon = written.opens.take_if(too_late);
    }
    in_order(&written, table, found);
    written.opens = written.opens.or(afternoon);
    hint_at_usual_starts(table, entry, usual, found);
    written
}

/// Who moves the late time rarely wants minutes late to be counted from the usual start.
fn hint_at_usual_starts(table: &str, entry: &OtherDay, usual: &Written, found: &mut Findings) {
    let sessions = [
        ("am", &entry.am.starts, &entry.am.late, &usual.am),
        ("pm", &entry.pm.starts, &entry.pm.late, &usual.pm),
    ];
    for (session, starts, late, usual) in sessions {
        if let (None, Some(late), [Some(from), ..]) = (starts, late, usual) {
            found.hint(
                format!("{table}.{session}.late"),
                quoted([late.as_str()]),
                format!(
                    "minutes late are counted from the usual {session}.starts = \"{}\" on these days as well",
                    clock(from.time)
                ),
                format!("add {session}.starts if registration begins at another time then"),
            );
        }
    }
}

fn hint_at_days_off(
    table: &str,
    named: &[Named],
    school_days: &[Weekday],
    closed: &BTreeSet<NaiveDate>,
    found: &mut Findings,
) {
    let is_off = |day: &Named| match day {
        Named::Weekly(number) => !school_days
            .iter()
            .any(|school_day| school_day.num_days_from_monday() == *number),
        Named::Date(date) => !school_days.contains(&date.weekday()) || closed.contains(date),
    };
    // Of a range only the school days count.
    if let [day, ..] = named
        && named.iter().all(is_off)
    {
        found.hint(
            format!("{table}.on"),
            words(*day),
            "there is no school on that day, so the times do nothing",
            "correct the day, or add it to `days`",
        );
    }
}

fn words(day: Named) -> String {
    match day {
        Named::Date(date) => format!("\"{date}\""),
        Named::Weekly(number) => {
            let day = u8::try_from(number)
                .ok()
                .and_then(|n| Weekday::try_from(n).ok());
            let day = day.map_or_else(String::new, |day| weekday_name(day).to_owned());
            format!("\"{day}\"")
        }
    }
}

fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

/// The times that differ, as text for the steps.
fn differing(times: &DayTimes, usual: &DayTimes) -> String {
    let mut words = Vec::new();
    let mut tell = |what: &str, time: Option<chrono::NaiveTime>, usual| {
        if let Some(time) = time.filter(|_| time != usual) {
            words.push(format!("{what} {}", clock(time)));
        }
    };
    tell("AM starts", times.am.starts, usual.am.starts);
    tell("AM late", times.am.late, usual.am.late);
    tell(
        "AM unauthorised",
        times.am.unauthorised,
        usual.am.unauthorised,
    );
    tell("PM opens", Some(times.pm_opens), Some(usual.pm_opens));
    tell("PM starts", times.pm.starts, usual.pm.starts);
    tell("PM late", times.pm.late, usual.pm.late);
    tell(
        "PM unauthorised",
        times.pm.unauthorised,
        usual.pm.unauthorised,
    );
    tell("the day closes at", Some(times.closes), Some(usual.closes));
    if words.is_empty() {
        return "the same as usual".to_owned();
    }
    words.join(", ")
}
