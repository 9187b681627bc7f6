//! The check of a group's settings: all problems at once, or the compiled rules if there are none.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Weekday};
use mis_core::{Code, CodeBook, EventKind};

use crate::{
    findings::{Findings, Hint, Problem},
    rules::{PerKind, Rules},
    settings::{Field, GroupKind, ShortestStay, WritebackSettings},
    text::{plain, quoted},
};

mod codes;
mod days;
mod fields;
mod guidance;
mod hints;
mod hold;
mod times;

pub use fields::check_fields;
pub use guidance::guidance_hints;

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The problems, which must be fixed.
    pub problems: Vec<Problem>,
    /// Hints about possible mistakes.
    pub hints: Vec<Hint>,
    /// The rules, if there is no problem.
    pub rules: Option<Rules>,
}

impl Rules {
    /// Checks a group's settings and compiles them.
    ///
    /// `fields` are the group's custom fields; `book` is the school's code book, or `None` if it could not be read. An
    /// empty book, as after a withdrawn permission, counts as unreadable: codes are not checked then, and a hint
    /// reports it.
    pub fn check(
        kind: GroupKind,
        fields: &[Field],
        settings: &WritebackSettings,
        book: Option<&CodeBook>,
    ) -> Checked {
        let book = book.filter(|book| !book.is_empty());
        let mut found = Findings::default();

        let options = fields::compile(fields, &mut found);
        let times = times::compile(settings, &mut found);
        let days = days(settings, &mut found);
        let closed = closed(settings, &mut found);
        let other = days::compile(settings, &times, &days, &closed, &mut found);
        let hold = hold::compile(settings, &mut found);
        let shortest_stay = shortest_stay(settings, &mut found);
        let codes = codes::compile(settings, book, &mut found);
        codes::of_options(fields, book, &mut found);
        named_fields(settings, fields, &mut found);
        hints::give(kind, fields, settings, &times, &codes, book, &mut found);

        let rules = match (times.times(), found.problems.is_empty()) {
            (Some(usual), true) => Some(Rules {
                am_opens: times.am_opens(),
                usual,
                other,
                days,
                closed,
                ignores_calendar: settings.ignores_calendar,
                hold,
                late: codes.late,
                unauthorised: codes.unauthorised,
                present_am: codes.present_am,
                present_pm: codes.present_pm,
                present: settings.present,
                leaver: codes.leaver,
                custom_codes: per_kind(|kind| settings.custom_codes.on(kind).map(compared)),
                comment: per_kind(|kind| settings.comment.on(kind).map(compared)),
                minutes_late: settings.minutes_late,
                protected: settings.protected.iter().map(Code::new).collect(),
                protect_on: per_kind(|kind| settings.protect_on.contains(&kind)),
                first_arrival_stands: settings.first_arrival_stands,
                shortest_stay,
                employee: settings.employee_id.clone(),
                fields: options,
            }),
            _ => None,
        };
        Checked {
            problems: found.problems,
            hints: found.hints,
            rules,
        }
    }
}

fn compared(text: &str) -> String {
    plain(text).into_owned()
}

fn per_kind<T>(of: impl Fn(EventKind) -> T) -> PerKind<T> {
    PerKind {
        sign_in: of(EventKind::SignIn),
        sign_out: of(EventKind::SignOut),
    }
}

fn days(settings: &WritebackSettings, found: &mut Findings) -> Vec<Weekday> {
    if settings.days.is_empty() {
        found.problem(
            "writeback.days",
            "[]",
            "there is no school day, so nothing would ever be written",
            "name the days, or leave it out for Monday to Friday",
        );
    }
    let mut days = Vec::new();
    for day in &settings.days {
        match day.trim().parse() {
            Ok(day) => days.push(day),
            Err(_) => found.problem(
                "writeback.days",
                quoted([day.as_str()]),
                "is not a day of the week",
                "write \"monday\" or \"mon\", and so on",
            ),
        }
    }
    days
}

fn closed(settings: &WritebackSettings, found: &mut Findings) -> BTreeSet<chrono::NaiveDate> {
    let mut closed = BTreeSet::new();
    for date in &settings.closed {
        match date.parse() {
            Some(date) => {
                closed.insert(date);
            }
            None => found.problem(
                "writeback.closed",
                quoted([date.as_str()]),
                "is not a valid date",
                "write it as year, month, day: \"2026-12-21\"",
            ),
        }
    }
    closed
}

fn shortest_stay(settings: &WritebackSettings, found: &mut Findings) -> TimeDelta {
    let Some(written) = &settings.shortest_stay else {
        return ShortestStay::DEFAULT;
    };
    written.parse().unwrap_or_else(|| {
        found.problem(
            "writeback.shortest_stay",
            quoted([written.as_str()]),
            "is not a duration of at most an hour",
            "write \"60s\", \"2m\" or a number of seconds; 0 switches it off",
        );
        ShortestStay::DEFAULT
    })
}

/// Checks that the fields named in the settings are asked at that kind of event.
fn named_fields(settings: &WritebackSettings, fields: &[Field], found: &mut Findings) {
    for (setting, names) in [
        ("custom_codes", &settings.custom_codes),
        ("comment", &settings.comment),
    ] {
        for kind in [EventKind::SignIn, EventKind::SignOut] {
            let Some(name) = names.on(kind) else { continue };
            let asked_on = |on| {
                fields
                    .iter()
                    .any(|field| field.on == on && plain(&field.name) == plain(name))
            };
            if asked_on(kind) {
                continue;
            }
            let key = format!("writeback.{setting}.{kind}");
            let there = fields
                .iter()
                .filter(|field| field.on == kind)
                .map(|field| field.name.as_str());
            let cure = match quoted(there) {
                none if none.is_empty() => {
                    format!("add a field with on = \"{kind}\", or leave {setting}.{kind} out")
                }
                some => format!("name one of {some}, or leave {setting}.{kind} out"),
            };
            let what = if fields.iter().any(|field| plain(&field.name) == plain(name)) {
                format!("this field is not asked at a {kind}")
            } else {
                "the group has no such field".to_owned()
            };
            found.problem(key, quoted([name]), what, cure);
        }
    }
}
