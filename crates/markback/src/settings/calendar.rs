//! The table `[school.calendar]`: as read, and its checks.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;
use url::{Host, Url};
use writeback::settings::{DateRange, DayList, Days, LocalDays};

use super::{
    Problem,
    findings::{Findings, Place},
};
use crate::calendar::{Calendar, Closure, Ical, IcalPlace, IcalUrl, MisCalendar};

/// The reason of a closure without one.
const CLOSED: &str = "closed";
/// The words of closures in an iCalendar, if the settings have none.
const CLOSURE_WORDS: [&str; 7] = [
    "closed",
    "closure",
    "inset",
    "half term",
    "half-term",
    "holiday",
    "holidays",
];

/// On which days the school is open.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Calendar")]
pub(super) struct CalendarFile {
    /// The terms or half terms, each with its first and its last date: `["2026-09-02..2026-10-23"]`. The school is closed
    /// between them. Before the first and after the last one days count as school days.
    #[serde(default)]
    terms: Vec<LocalDays>,
    /// Days on which the school is closed: `[{ on = "2026-11-27", why = "inset day" }]`.
    #[serde(default)]
    closures: Vec<ClosureFile>,
    /// An iCalendar file with further closures, such as the calendar that the school publishes. A relative path starts from
    /// the settings file's folder. It is read daily and when the settings change.
    #[schemars(with = "Option<String>")]
    ical_file: Option<PathBuf>,
    /// The address of such an iCalendar, in place of a file: `https://…`. It is fetched daily and when it is new.
    #[schemars(extend("format" = "uri"))]
    ical_url: Option<String>,
    /// Whether closures are taken from the calendar in the school's MIS as well, where the school grants reading it. It is read
    /// daily.
    #[serde(default)]
    from_mis: bool,
    /// An all-day event of the iCalendar, or of the calendar in the MIS, is a closure if its summary or its categories have one of these words, whatever
    /// their letter case. Default: `["closed", "closure", "inset", "half term", "half-term", "holiday", "holidays"]`.
    closure_words: Option<Vec<String>>,
}

/// Days on which the school is closed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Closure")]
struct ClosureFile {
    /// A date, or the first and the last date (`"2026-12-21..2027-01-01"`); one of them or a list.
    #[schemars(required)]
    #[serde(default)]
    on: DayList,
    /// Why, for the explanation of a decision.
    why: Option<String>,
}

/// Checks a calendar. Invalid parts are reported, and the rest is kept.
pub(super) fn calendar(
    place: &dyn Place,
    folder: &Path,
    file: CalendarFile,
    findings: &mut Findings,
) -> Calendar {
    let mut check = Check { place, findings };
    let reads = file.ical_file.is_some() || file.ical_url.is_some() || file.from_mis;
    if file.terms.is_empty() && file.closures.is_empty() && !reads {
        check.problem(
            "calendar",
            "the calendar says nothing",
            "add terms, closures, an `ical_file`, an `ical_url` or `from_mis`, or remove the table",
        );
    }
    let terms = check.terms(&file.terms);
    let closures = check.closures(&file.closures);
    let words = check.words(file.closure_words, reads);
    let ical = check.ical(folder, file.ical_file, file.ical_url, words.as_ref());
    let mis = words.filter(|_| file.from_mis);
    Calendar {
        terms,
        closures,
        ical,
        mis: mis.map(|closure_words| MisCalendar { closure_words }),
    }
}

struct Check<'a> {
    place: &'a dyn Place,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: &str, help: &str) {
        let problem = self.place.problem(key, message, help);
        self.findings.problems.push(problem);
    }

    fn terms(&mut self, written: &[LocalDays]) -> Vec<DateRange> {
        let mut terms: Vec<(usize, DateRange)> = Vec::new();
        for (at, text) in written.iter().enumerate() {
            let key = format!("calendar.terms[{at}]");
            match text.parse() {
                Some(Days::Dates(term)) => terms.push((at, term)),
                _ => self.problem(
                    &key,
                    "this is not a term",
                    "write its first and its last date with two dots between: \"2026-09-02..2026-10-23\"",
                ),
            }
        }
        terms.sort_by_key(|(_, term)| *term);
        for pair in terms.windows(2) {
            if let [(one, earlier), (other, later)] = pair
                && later.first() <= earlier.last()
            {
                for (this, that) in [(one, other), (other, one)] {
                    self.problem(
                        &format!("calendar.terms[{this}]"),
                        &format!("this term overlaps terms[{that}]"),
                        "correct the dates; a day belongs to one term",
                    );
                }
            }
        }
        terms.into_iter().map(|(_, term)| term).collect()
    }

    fn closures(&mut self, written: &[ClosureFile]) -> Vec<Closure> {
        let mut closures = Vec::new();
        for (at, closure) in written.iter().enumerate() {
            let key = format!("calendar.closures[{at}].on");
            if closure.on.0.is_empty() {
                self.problem(&key, "there is no day", "write a date: on = \"2026-11-27\"");
            }
            let why = closure.why.as_deref().map(str::trim);
            let why = why.filter(|why| !why.is_empty()).unwrap_or(CLOSED);
            for day in &closure.on.0 {
                match day.parse() {
                    Some(Days::Dates(days)) => closures.push(Closure {
                        first: days.first(),
                        last: days.last(),
                        why: why.to_owned(),
                    }),
                    Some(Days::Weekly(_)) => self.problem(
                        &key,
                        "a day of every week is not a closure",
                        "leave it out of `days` in the groups' writeback settings",
                    ),
                    None => self.problem(
                        &key,
                        "this is not a date",
                        "write \"2026-11-27\", or the first and the last date: \"2026-12-21..2027-01-01\"",
                    ),
                }
            }
        }
        closures
    }

    fn ical(
        &mut self,
        folder: &Path,
        file: Option<PathBuf>,
        url: Option<String>,
        words: Option<&Vec<String>>,
    ) -> Option<Ical> {
        let place = match (file, url) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                self.problem(
                    "calendar.ical_url",
                    "the iCalendar has two places, `ical_file` and `ical_url`",
                    "keep one of the two",
                );
                return None;
            }
            (Some(file), None) if file.as_os_str().is_empty() => {
                self.problem(
                    "calendar.ical_file",
                    "this is empty",
                    "write the path of the iCalendar file",
                );
                return None;
            }
            (Some(file), None) => IcalPlace::File(folder.join(file)),
            (None, Some(url)) => IcalPlace::Url(self.ical_url(&url)?),
        };
        Some(Ical {
            place,
            closure_words: words?.clone(),
        })
    }

    /// The words of closures in lower case; `None` if some are wrong.
    fn words(&mut self, words: Option<Vec<String>>, is_read: bool) -> Option<Vec<String>> {
        let key = "calendar.closure_words";
        if words.is_some() && !is_read {
            self.problem(
                key,
                "there is no iCalendar whose events could have these words",
                "add `ical_file`, `ical_url` or `from_mis`, or remove the words",
            );
            return None;
        }
        let words = words.unwrap_or_else(|| CLOSURE_WORDS.map(str::to_owned).into());
        let words: Vec<_> = words
            .iter()
            .map(|word| word.trim().to_lowercase())
            .collect();
        if words.is_empty() || words.iter().any(String::is_empty) {
            self.problem(
                key,
                "a word is missing",
                "write words that stand in the closures of the calendar: [\"closed\", \"inset\"]",
            );
            return None;
        }
        Some(words)
    }

    fn ical_url(&mut self, url: &str) -> Option<IcalUrl> {
        // Schools publish calendars for a reader by this scheme; a web server has them.
        let url = match url.strip_prefix("webcal://") {
            Some(rest) => format!("https://{rest}"),
            None => url.to_owned(),
        };
        let url = Url::parse(&url).ok().and_then(IcalUrl::new);
        match &url {
            None => self.problem(
                "calendar.ical_url",
                "this is not an address that can be fetched",
                "write one that begins with https://, without a user name and a password",
            ),
            Some(url) if url.as_url().scheme() == "http" && !is_this_machine(url.as_url()) => {
                self.problem(
                    "calendar.ical_url",
                    "the address is not encrypted, so others can change what is fetched from it",
                    "write https://",
                );
            }
            Some(_) => {}
        }
        url
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A hint for each iCalendar file that cannot be read or has closures that are not taken.
pub(super) fn ical_files<'a>(
    calendars: impl Iterator<Item = &'a Calendar>,
    file: &Path,
) -> Vec<Problem> {
    let hint = |ical: &Ical, message: String, help: &str| Problem {
        file: file.display().to_string().into(),
        line: None,
        key: "calendar.ical_file".to_owned(),
        value: Some(ical.source()),
        message,
        help: help.to_owned(),
    };
    let files: BTreeSet<_> = calendars
        .filter_map(|calendar| calendar.ical.as_ref())
        .collect();
    let told = files
        .into_iter()
        .filter_map(|ical| match ical.read_file()? {
            Ok(read) => {
                let left_out = read.left_out.to_string();
                (!left_out.is_empty()).then(|| hint(ical, left_out, "add those days to `closures`"))
            }
            Err(error) => {
                let words = error.to_string();
                let (message, help) = words.split_once("; ").unwrap_or((&words, ""));
                Some(hint(
                    ical,
                    message.to_owned(),
                    &format!("{help}, where the service runs"),
                ))
            }
        });
    told.collect()
}

/// A hint for each calendar whose terms are over, or nearly so, on this day.
pub(super) fn that_run_out<'a>(
    calendars: impl Iterator<Item = &'a Calendar>,
    today: NaiveDate,
    file: &Path,
) -> Vec<Problem> {
    let mut ends = std::collections::BTreeMap::<NaiveDate, usize>::new();
    for end in calendars.filter_map(|calendar| calendar.runs_out(today)) {
        *ends.entry(end).or_default() += 1;
    }
    let hint = |(end, schools): (NaiveDate, usize)| Problem {
        file: file.display().to_string().into(),
        line: None,
        key: "calendar.terms".to_owned(),
        value: None,
        message: match schools {
            1 => format!(
                "the last term of a school ends on {end}; days after it count as school days"
            ),
            many => format!(
                "the last term of {many} schools ends on {end}; days after it count as school days"
            ),
        },
        help: "add the terms that follow".to_owned(),
    };
    ends.into_iter().map(hint).collect()
}

#[cfg(test)]
mod tests;
