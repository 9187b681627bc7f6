//! The lines of a log: each an event and its school, or a problem.

use std::io::{self, BufRead, Read as _};

use anyhow::Context as _;
use mis_core::SchoolId;
use serde::Serialize;
use serde_json::Value;

use markback::{
    service::InputProblem,
    text::{bytes_without_bom, json_fault},
};

/// The maximum length of a line. Longer lines are skipped without being held in memory.
const LINE_MAX: u64 = 1024 * 1024;

/// A line that may be an event.
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) event: Value,
}

/// An invalid line. Its text is not repeated, because it is pupils' data.
#[derive(Debug, Serialize)]
pub(super) struct Bad {
    /// Counted from 1.
    pub(super) line: usize,
    /// The field; empty for the line as a whole.
    pub(super) key: String,
    /// The problem.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

/// Consecutive lines.
#[derive(Default)]
pub(super) struct Batch {
    /// The number of lines that are not blank.
    pub(super) read: usize,
    /// The lines that may be events, in order, by school.
    pub(super) good: Vec<(SchoolId, Vec<Line>)>,
    /// The invalid lines.
    pub(super) bad: Vec<Bad>,
}

/// Reads a log.
pub(super) struct Lines {
    log: Box<dyn BufRead + Send>,
    school: Option<SchoolId>,
    number: usize,
}

impl Lines {
    pub(super) fn new(log: Box<dyn BufRead + Send>, school: Option<SchoolId>) -> Self {
        Self {
            log,
            school,
            number: 0,
        }
    }

    /// The next lines; `None` when there are no more.
    pub(super) fn batch(&mut self, max: usize) -> anyhow::Result<Option<Batch>> {
        let mut batch = Batch::default();
        while batch.read < max {
            let Some(text) = self
                .next()
                .with_context(|| format!("the log cannot be read after line {}", self.number))?
            else {
                break;
            };
            // On any line: logs are put together of several.
            let text = bytes_without_bom(&text);
            if text.trim_ascii().is_empty() {
                continue;
            }
            batch.read += 1;
            match self.parse(text) {
                Ok((school, line)) => batch.add(school, line),
                Err(bad) => batch.bad.push(bad),
            }
        }
        Ok((batch.read > 0).then_some(batch))
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let read = (&mut self.log)
            .take(LINE_MAX + 1)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(None);
        }
        if text.last() != Some(&b'\n') && text.len() as u64 > LINE_MAX {
            self.log.skip_until(b'\n')?;
        }
        self.number += 1;
        Ok(Some(text))
    }

    fn parse(&self, text: &[u8]) -> Result<(SchoolId, Line), Bad> {
        let bad = |key: &str, message: &str, help: &str| Bad {
            line: self.number,
            key: key.to_owned(),
            message: message.to_owned(),
            help: help.to_owned(),
        };
        if text.len() as u64 > LINE_MAX {
            return Err(bad(
                "",
                "the line is longer than 1 MiB",
                "write one event on each line",
            ));
        }
        let event = serde_json::from_slice(text).map_err(|error| {
            let message = if error.is_eof() {
                "the JSON is incomplete".to_owned()
            } else {
                format!(
                    "invalid JSON at column {}: {}",
                    error.column(),
                    json_fault(&error)
                )
            };
            bad(
                "",
                &message,
                "write one event on each line, as a JSON object",
            )
        })?;
        let Value::Object(mut event) = event else {
            return Err(bad(
                "",
                "this is not a JSON object",
                "write one event on each line",
            ));
        };
        let school = match event.remove("school") {
            Some(Value::String(id)) => SchoolId::from(id),
            Some(value) if !value.is_null() => {
                return Err(bad("school", "this is not a text", "write the school's id"));
            }
            // `null` is absence here too.
            _ => self.school.clone().ok_or_else(|| {
                bad(
                    "school",
                    "the line does not name a school",
                    "add \"school\" to the line, or name one with --school",
                )
            })?,
        };
        let line = Line {
            number: self.number,
            event: Value::Object(event),
        };
        Ok((school, line))
    }
}

impl Batch {
    fn add(&mut self, school: SchoolId, line: Line) {
        match self.good.iter_mut().find(|(known, _)| *known == school) {
            Some((_, lines)) => lines.push(line),
            None => self.good.push((school, vec![line])),
        }
    }
}

impl Bad {
    /// A problem that the service reports for a line.
    pub(super) fn of(line: &Line, problem: InputProblem) -> Self {
        let field = problem.key.split_once(']').map_or("", |(_, field)| field);
        Self {
            line: line.number,
            key: field.trim_start_matches('.').to_owned(),
            message: problem.message,
            help: problem.help,
        }
    }

    /// The settings have no such school.
    pub(super) fn unknown_school(line: &Line) -> Self {
        Self {
            line: line.number,
            key: "school".to_owned(),
            message: "the settings have no school with this id".to_owned(),
            help: "add a [[school]] for it, or correct the line".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, school: Option<&str>) -> Lines {
        Lines::new(
            Box::new(io::Cursor::new(text.to_owned())),
            school.map(SchoolId::from),
        )
    }

    #[test]
    fn good_lines_go_to_their_schools_and_bad_ones_are_named_by_number() {
        let text = "{\"id\":\"1\",\"school\":\"A\"}\n\n{\"id\":\"2\"}\n{\"id\":\n[]\n{\"school\":7}\nSECRET\n{\"id\":\"3\",\"school\":\"A\"}";
        let batch = lines(text, Some("B")).batch(100).unwrap().unwrap();
        let good: Vec<_> = batch
            .good
            .iter()
            .map(|(school, lines)| {
                let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
                (school.as_str(), numbers)
            })
            .collect();
        assert_eq!(good, [("A", vec![1, 8]), ("B", vec![3])]);
        let bad: Vec<_> = batch
            .bad
            .iter()
            .map(|bad| (bad.line, bad.key.as_str()))
            .collect();
        assert_eq!(bad, [(4, ""), (5, ""), (6, "school"), (7, "")]);
        assert!(!format!("{:?}", batch.bad).contains("SECRET"));
        assert_eq!(batch.read, 7);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_line() {
        let text =
            "\u{feff}{\"id\":\"1\"}\r\n\u{feff}\n\u{feff}{\"id\":\"2\"}\n{\"id\" \"SECRET\"}";
        let batch = lines(text, Some("A")).batch(10).unwrap().unwrap();
        assert_eq!((batch.good[0].1.len(), batch.bad.len()), (2, 1));
        assert!(
            batch.bad[0].message.contains("a colon is missing"),
            "{}",
            batch.bad[0].message
        );
    }

    #[test]
    fn a_line_that_names_no_school_needs_one() {
        for line in ["{\"id\":\"1\"}\n", "{\"id\":\"1\",\"school\":null}\n"] {
            let batch = lines(line, None).batch(1).unwrap().unwrap();
            assert!(batch.bad[0].help.contains("--school"), "{line}");
            let batch = lines(line, Some("A")).batch(1).unwrap().unwrap();
            assert_eq!(batch.good[0].0.as_str(), "A");
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let text = format!("{}\n{{\"id\":\"2\"}}\n", "x".repeat(3 << 20));
        let batch = lines(&text, Some("A")).batch(10).unwrap().unwrap();
        assert_eq!((batch.bad[0].line, batch.good[0].1[0].number), (1, 2));
        assert!(batch.bad[0].message.contains("longer"));
    }

    #[test]
    fn batches_follow_each_other_until_the_end() {
        let mut lines = lines("{}\n{}\n{}\n", Some("A"));
        let sizes: Vec<_> = std::iter::from_fn(|| lines.batch(2).unwrap())
            .map(|batch| batch.read)
            .collect();
        assert_eq!(sizes, [2, 1]);
    }
}
