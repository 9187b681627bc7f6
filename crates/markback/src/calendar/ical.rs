//! Closures from an iCalendar, which is a file or at an address.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use chrono::{NaiveDate, TimeDelta};
use icalendar::parser::{Component, read_calendar_simple, unfold};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::Closure;
use crate::text::without_bom;

/// The largest iCalendar that is read, in bytes.
pub(super) const SIZE_MAX: u64 = 1024 * 1024;
/// The longest closure, in days. A longer one is more likely a mistake, which would leave months without marks.
pub(super) const DAYS_MAX: i64 = 120;
/// The longest reason that is kept, in characters.
const WHY_MAX: usize = 200;
/// The properties of an event that matter here. Others may be malformed without harm.
const PROPERTIES: [&str; 7] = [
    "CATEGORIES",
    "DTEND",
    "DTSTART",
    "RDATE",
    "RRULE",
    "STATUS",
    "SUMMARY",
];

/// An iCalendar with a school's closures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Ical {
    /// Where it is.
    pub place: IcalPlace,
    /// An all-day event is a closure if its summary or its categories have one of these words, which are in lower case.
    pub closure_words: Vec<String>,
}

/// Where an iCalendar is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IcalPlace {
    /// A file.
    File(PathBuf),
    /// On a web server.
    Url(IcalUrl),
}

/// The address of an iCalendar. Whoever knows it may often read the calendar, so `Debug` and `Display` show the host and a
/// fingerprint only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcalUrl(Url);

impl IcalUrl {
    /// An address; `None` if it is not that of a web server, or has a user name or a password in it.
    pub fn new(url: Url) -> Option<Self> {
        let is_web = ["http", "https"].contains(&url.scheme()) && url.has_host();
        let is_plain = url.username().is_empty() && url.password().is_none();
        (is_web && is_plain).then_some(Self(url))
    }

    /// The whole address.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for IcalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.origin().ascii_serialization();
        let digest = Sha256::digest(self.0.as_str());
        write!(f, "{host}/… (")?;
        for byte in digest.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for IcalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an iCalendar, or the calendar in an MIS, says about closures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IcalReading {
    /// The closures, earliest first.
    pub closures: Vec<Closure>,
    /// The events that were not taken.
    pub left_out: LeftOut,
}

/// The numbers of events that may be closures and were not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Events with a closure's words that recur.
    pub recurring: usize,
    /// Events with a closure's words that are not all day.
    pub timed: usize,
    /// Events that are malformed, or a closure without valid days.
    pub unreadable: usize,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.recurring, "recurring closures"),
            (self.timed, "closures that are not all day"),
            (self.unreadable, "events that cannot be read"),
        ];
        let told: Vec<_> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{what}: {count}"))
            .collect();
        f.write_str(&told.join("; "))
    }
}

/// Why an iCalendar cannot be read. The error never quotes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IcalError {
    /// The file cannot be read.
    #[error(
        "the iCalendar file {path} cannot be read: {why}; check that it exists and is readable"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        why: io::Error,
    },
    /// It cannot be fetched from its address.
    #[error("the iCalendar at {place} cannot be fetched: {why}; check the address")]
    Unreached {
        /// The address, without what may be secret.
        place: String,
        /// Why.
        why: String,
    },
    /// It is too large.
    #[error("the iCalendar {path} is larger than 1 MB; export fewer years")]
    TooLarge {
        /// Where it is.
        path: String,
    },
    /// It is something else, or a part is missing.
    #[error(
        "{path} is not a complete iCalendar in UTF-8, from BEGIN:VCALENDAR to END:VCALENDAR; export it again"
    )]
    Incomplete {
        /// Where it is.
        path: String,
    },
}

impl Ical {
    /// How it is named in the database: what was read by this name need not be read again.
    pub(crate) fn source(&self) -> String {
        match &self.place {
            IcalPlace::File(path) => path.display().to_string(),
            // With the words, because an unchanged answer is not read again.
            IcalPlace::Url(url) => {
                let words = Sha256::digest(self.closure_words.join("\n"));
                let words: Vec<_> = words
                    .iter()
                    .take(2)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("{url}, words {}", words.concat())
            }
        }
    }

    /// How it is named in messages.
    pub(super) fn shown(&self) -> String {
        match &self.place {
            IcalPlace::File(path) => path.display().to_string(),
            IcalPlace::Url(url) => url.to_string(),
        }
    }

    /// Reads the file. `None` if it is not a file: only the service fetches an address.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, is larger than 1 MB, or is not a complete iCalendar. A bad event is no
    /// error: it is counted.
    pub fn read_file(&self) -> Option<Result<IcalReading, IcalError>> {
        match &self.place {
            IcalPlace::File(path) => Some(self.read_at(path)),
            IcalPlace::Url(_) => None,
        }
    }

    fn read_at(&self, file: &Path) -> Result<IcalReading, IcalError> {
        let path = self.shown();
        let mut bytes = Vec::new();
        let read =
            File::open(file).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut bytes));
        match read {
            Err(why) => Err(IcalError::Unreadable { path, why }),
            Ok(length) if length as u64 > SIZE_MAX => Err(IcalError::TooLarge { path }),
            Ok(_) => self.parse(bytes),
        }
    }

    /// The closures in an iCalendar.
    pub(super) fn parse(&self, bytes: Vec<u8>) -> Result<IcalReading, IcalError> {
        let text = String::from_utf8(bytes).ok();
        let reading = text.and_then(|text| closures(without_bom(&text), &self.closure_words));
        reading.ok_or_else(|| IcalError::Incomplete { path: self.shown() })
    }
}

/// The closures in the text of an iCalendar; `None` if it is no complete one.
fn closures(text: &str, words: &[String]) -> Option<IcalReading> {
    let (events, broken) = events(text)?;
    let mut reading = IcalReading::default();
    reading.left_out.unreadable = broken;
    for event in events {
        match read_calendar_simple(&event).as_deref() {
            Ok([event]) => reading.take(event, words),
            _ => reading.left_out.unreadable += 1,
        }
    }
    reading
        .closures
        .sort_by_key(|closure| (closure.first, closure.last));
    Some(reading)
}

/// The events of an iCalendar, each as a component with the properties that matter and without nested components, and the
/// number of events without an end. Each event is parsed alone, so that a bad one does not stop the others.
fn events(text: &str) -> Option<(Vec<String>, usize)> {
    let (mut events, mut broken) = (Vec::new(), 0);
    let (mut begun, mut ended) = (0, 0);
    let mut event: Option<String> = None;
    let mut nested = 0_usize;
    for line in unfold(text).lines() {
        let Some((name, rest)) = line
            .find([':', ';'])
            .and_then(|at| line.split_at_checked(at))
        else {
            continue;
        };
        let name = name.trim().to_ascii_uppercase();
        let component = rest.get(1..).unwrap_or_default().trim();
        let component = component.to_ascii_uppercase();
        match (name.as_str(), component.as_str()) {
            ("BEGIN", "VCALENDAR") => begun += 1,
            ("END", "VCALENDAR") => {
                ended += 1;
                broken += usize::from(event.take().is_some());
            }
            ("BEGIN", "VEVENT") => {
                nested = 0;
                broken += usize::from(event.replace("BEGIN:VEVENT\n".to_owned()).is_some());
            }
            ("END", "VEVENT") => {
                let whole = event.take().map(|event| event + "END:VEVENT\n");
                events.extend(whole);
            }
            ("BEGIN", _) => nested += 1,
            ("END", _) => nested = nested.saturating_sub(1),
            (name, _) if nested == 0 && PROPERTIES.contains(&name) => {
                if let Some(event) = &mut event {
                    event.extend([name, rest, "\n"]);
                }
            }
            _ => {}
        }
    }
    (begun > 0 && begun == ended).then_some((events, broken))
}

impl IcalReading {
    fn take(&mut self, event: &Component<'_>, words: &[String]) {
        let value = |name: &str| event.find_prop(name).map(|found| found.val.as_str().trim());
        if value("STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED")) {
            return;
        }
        let mut texts = event
            .properties
            .iter()
            .filter(|one| ["SUMMARY", "CATEGORIES"].contains(&one.name.as_str()))
            .map(|one| one.val.as_str().to_lowercase());
        let Some(word) = texts.find_map(|text| words.iter().find(|word| has_word(&text, word)))
        else {
            return;
        };
        if value("RRULE").or(value("RDATE")).is_some() {
            self.left_out.recurring += 1;
            return;
        }
        if value("DTSTART").is_some_and(|start| start.contains('T')) {
            self.left_out.timed += 1;
            return;
        }
        let Some((first, last)) = value("DTSTART").and_then(|start| days(start, value("DTEND")))
        else {
            self.left_out.unreadable += 1;
            return;
        };
        let why = in_short(value("SUMMARY").unwrap_or_default());
        self.closures.push(Closure {
            first,
            last,
            why: if why.is_empty() { word.clone() } else { why },
        });
    }
}

/// A reason on one line, and not too long.
pub(super) fn in_short(why: &str) -> String {
    let words: Vec<_> = why.split_whitespace().collect();
    words.join(" ").chars().take(WHY_MAX).collect()
}

/// The first and the last day of an all-day event. Its end is the day after the last one. Some programs write the only day
/// as the end.
fn days(start: &str, end: Option<&str>) -> Option<(NaiveDate, NaiveDate)> {
    let first = date(start)?;
    let last = match end.map(date) {
        None => first,
        Some(end) => first.max(end.filter(|end| *end >= first)? - TimeDelta::days(1)),
    };
    ((last - first).num_days() < DAYS_MAX).then_some((first, last))
}

fn date(text: &str) -> Option<NaiveDate> {
    let is_date = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_date
        .then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok())
        .flatten()
}

/// Whether a text has this word or these words. "Enclosed" does not have "closed".
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, found)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + found.len()..);
        !inside(before) && !inside(after.and_then(|text| text.chars().next()))
    })
}

#[cfg(test)]
mod tests;
