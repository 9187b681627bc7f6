//! Helpers for text: clipped quotations, times, lists.

use std::borrow::Cow;

use chrono::{NaiveTime, TimeDelta, Timelike};
use mis_core::nfc;

/// A name or an answer as it is compared: without the blanks around it, in NFC.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    nfc(text.trim())
}

/// At most `max` characters of a text that came from outside, for quoting it.
pub(crate) fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A time of the settings: `09:00`, or `09:00:30` where it has seconds.
pub(crate) fn clock(time: NaiveTime) -> String {
    let format = if time.second() == 0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    time.format(format).to_string()
}

/// `1 minute`, `7 minutes`.
pub(crate) fn count(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A span in its largest whole unit, rounded down: `48 seconds`, `7 minutes`, `2 hours`.
pub(crate) fn span(span: TimeDelta) -> String {
    match span.num_seconds() {
        seconds @ ..60 => count(seconds.max(0), "second"),
        seconds @ 60..3600 => count(seconds / 60, "minute"),
        seconds @ 3600..172_800 => count(seconds / 3600, "hour"),
        seconds => count(seconds / 86_400, "day"),
    }
}

/// `"a", "b"`.
pub(crate) fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words
        .into_iter()
        .map(|word| format!("{:?}", clip(word, 80)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// `a, b`.
pub(crate) fn listed<T: ToString>(words: impl IntoIterator<Item = T>) -> String {
    words
        .into_iter()
        .map(|word| word.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_down() {
        let words =
            [0, 1, 59, 60, 119, 3599, 3600, 172_799, 172_800].map(|s| span(TimeDelta::seconds(s)));
        assert_eq!(
            words,
            [
                "0 seconds",
                "1 second",
                "59 seconds",
                "1 minute",
                "1 minute",
                "59 minutes",
                "1 hour",
                "47 hours",
                "2 days"
            ]
        );
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        assert_eq!(clip("žluťoučký", 3), "žlu…");
        assert_eq!(clip("žlu", 3), "žlu");
    }
}
