//! A group's day as a picture: what a sign-in means at which time.

use chrono::{NaiveTime, Timelike as _};

/// The width of the picture, in its own units.
const WIDTH: f64 = 1000.0;
/// Minutes before the first time of the day that the settings name, and after the last.
const BEFORE: i64 = 60;

/// The day of a group.
pub(crate) struct Timeline {
    pub(crate) bands: Vec<Band>,
    pub(crate) ticks: Vec<Tick>,
}

/// From one time to another the same is written.
pub(crate) struct Band {
    /// The class in the style: `present`, `late`, `absent`, `nothing`.
    pub(crate) class: &'static str,
    /// What is written: a code, or nothing.
    pub(crate) code: Option<String>,
    /// What it means.
    pub(crate) words: &'static str,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) x: String,
    pub(crate) width: String,
    pub(crate) middle: String,
    /// Whether its words find room in the picture.
    pub(crate) is_wide: bool,
}

/// A time at the edge of the picture.
pub(crate) struct Tick {
    pub(crate) at: String,
    pub(crate) x: String,
}

/// The times and codes of a day, as far as they can be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct DayTimes {
    pub(crate) am_late: Option<NaiveTime>,
    pub(crate) am_unauthorised: Option<NaiveTime>,
    pub(crate) pm_opens: Option<NaiveTime>,
    pub(crate) pm_late: Option<NaiveTime>,
    pub(crate) pm_unauthorised: Option<NaiveTime>,
    pub(crate) closes: Option<NaiveTime>,
    pub(crate) present: bool,
    pub(crate) late_code: String,
    pub(crate) unauthorised_code: String,
}

impl DayTimes {
    /// Reads them from what the form shows.
    pub(crate) fn of(shown: impl Fn(&str) -> String) -> Self {
        let time = |key: &str| read(&shown(key));
        let code = |key: &str, default: &str| {
            let code = shown(key);
            if code.trim().is_empty() {
                default.to_owned()
            } else {
                code
            }
        };
        Self {
            am_late: time("am.late"),
            am_unauthorised: time("am.unauthorised"),
            pm_opens: time("pm.opens"),
            pm_late: time("pm.late"),
            pm_unauthorised: time("pm.unauthorised"),
            closes: time("closes"),
            present: shown("present") == "true",
            late_code: code("codes.late", "L"),
            unauthorised_code: code("codes.unauthorised", "U"),
        }
    }
}

fn read(text: &str) -> Option<NaiveTime> {
    let text = text.trim();
    NaiveTime::parse_from_str(text, "%H:%M")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
        .ok()
}

fn minutes(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight() / 60)
}

fn clock(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

impl Timeline {
    /// The picture of a day; `None` if it has no end, or its times are not in order.
    pub(crate) fn of(day: &DayTimes) -> Option<Self> {
        let closes = minutes(day.closes?);
        let noon = day.pm_opens.map_or(12 * 60, minutes);
        let first = [day.am_late, day.am_unauthorised]
            .into_iter()
            .flatten()
            .map(minutes)
            .min();
        let start = (first.unwrap_or(9 * 60) - BEFORE).max(0);
        let present = day.present.then_some(());
        let mut edges = vec![(start, "present", present.map(|()| "/"), "in time")];
        let session = |late: Option<NaiveTime>, gone: Option<NaiveTime>| {
            let late =
                late.map(|late| (minutes(late), "late", Some(day.late_code.as_str()), "late"));
            let gone = gone.map(|gone| {
                let code = Some(day.unauthorised_code.as_str());
                (minutes(gone), "absent", code, "unauthorised")
            });
            late.into_iter().chain(gone)
        };
        edges.extend(session(day.am_late, day.am_unauthorised));
        edges.push((noon, "present", present.map(|()| "\\"), "in time"));
        edges.extend(session(day.pm_late, day.pm_unauthorised));
        edges.push((closes, "nothing", None, "school is over"));
        if !edges.is_sorted_by_key(|(at, ..)| *at) || closes <= start {
            return None;
        }
        let end = closes + BEFORE;
        #[expect(clippy::cast_precision_loss, reason = "minutes of one day")]
        let x = |at: i64| (at - start) as f64 / (end - start) as f64 * WIDTH;
        let ends = edges.iter().skip(1).map(|(at, ..)| *at).chain([end]);
        let bands = edges
            .iter()
            .zip(ends)
            .filter(|((from, ..), to)| to > from)
            .map(|((from, class, code, words), to)| {
                let width = x(to) - x(*from);
                Band {
                    class,
                    code: code.map(str::to_owned),
                    words,
                    from: clock(*from),
                    to: clock(to),
                    x: format!("{:.1}", x(*from)),
                    width: format!("{width:.1}"),
                    middle: format!("{:.1}", x(*from) + width / 2.0),
                    is_wide: width > 60.0,
                }
            })
            .collect();
        let mut ticks: Vec<(i64, f64)> = Vec::new();
        for (at, ..) in edges.iter().skip(1) {
            // Times that would stand on each other are left to the list.
            if ticks
                .last()
                .is_none_or(|(_, before)| x(*at) - before > 45.0)
            {
                ticks.push((*at, x(*at)));
            }
        }
        let ticks = ticks.into_iter().map(|(at, x)| Tick {
            at: clock(at),
            x: format!("{x:.1}"),
        });
        Some(Self {
            bands,
            ticks: ticks.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(times: &[(&str, &str)]) -> Option<Timeline> {
        let shown = |key: &str| {
            let found = times.iter().find(|(name, _)| *name == key);
            found
                .map(|(_, value)| (*value).to_owned())
                .unwrap_or_default()
        };
        Timeline::of(&DayTimes::of(shown))
    }

    #[test]
    fn each_time_begins_a_band() {
        let timeline = day(&[
            ("am.late", "09:00"),
            ("am.unauthorised", "09:30"),
            ("pm.late", "13:00"),
            ("closes", "15:30"),
            ("present", "true"),
            ("codes.late", "L1"),
        ]);
        let bands: Vec<_> = timeline
            .unwrap()
            .bands
            .into_iter()
            .map(|band| {
                format!(
                    "{}-{} {} {}",
                    band.from,
                    band.to,
                    band.code.unwrap_or_default(),
                    band.words
                )
            })
            .collect();
        assert_eq!(
            bands,
            [
                "08:00-09:00 / in time",
                "09:00-09:30 L1 late",
                "09:30-12:00 U unauthorised",
                "12:00-13:00 \\ in time",
                "13:00-15:30 L1 late",
                "15:30-16:30  school is over",
            ]
        );
    }

    #[test]
    fn what_makes_no_day_has_no_picture() {
        assert!(day(&[]).is_none());
        assert!(day(&[("closes", "noon")]).is_none());
        assert!(
            day(&[
                ("am.late", "10:00"),
                ("am.unauthorised", "09:00"),
                ("closes", "15:00")
            ])
            .is_none()
        );
    }
}
