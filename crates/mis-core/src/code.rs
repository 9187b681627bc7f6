//! Attendance codes and the code book that a school keeps of them.

use std::{collections::HashSet, fmt};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::AttendanceCodeId;

/// The letters of an attendance code as a register shows them: `/`, `L`, `C1`.
///
/// Codes are compared exactly. [`CodeBook::find`] ignores letter case, for codes that people type.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Code(String);

impl Code {
    /// A code from its letters; surrounding blanks are removed.
    pub fn new(letters: impl AsRef<str>) -> Self {
        Self(letters.as_ref().trim().to_owned())
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there are no letters at all; no register has such a code.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<&str> for Code {
    fn from(letters: &str) -> Self {
        Self::new(letters)
    }
}

/// One line of a code book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttendanceCode {
    /// The letters.
    pub code: Code,
    /// The id that a write at this school needs; `None` in a list that is no school's own, such as
    /// [`CodeBook::england`].
    #[serde(default)]
    pub id: Option<AttendanceCodeId>,
    /// The school's description of the code.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether the school still uses it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// The date from which the code exists, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<NaiveDate>,
}

impl AttendanceCode {
    /// A line with these letters and nothing else.
    pub fn new(letters: impl AsRef<str>) -> Self {
        Self {
            code: Code::new(letters),
            id: None,
            description: None,
            active: None,
            since: None,
        }
    }

    /// The line with this id.
    #[must_use]
    pub fn with_id(self, id: impl Into<AttendanceCodeId>) -> Self {
        Self {
            id: Some(id.into()),
            ..self
        }
    }
}

/// The codes that a school's registers know. Only these may be written there.
///
/// A list may have the same letters more than once, for instance when a school keeps the codes of past years. Each id
/// is known when a register is read. When a mark is written, [`CodeBook::to_write`] chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeBook {
    codes: Vec<AttendanceCode>,
}

/// Why a code cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCode {
    /// The book has no such letters.
    #[error("the school's code book has no code {0}")]
    Unknown(Code),
    /// The book has the letters more than once, and does not tell which of the lines is in use.
    #[error(
        "the school's code book has {code} {} times (ids {}), and neither an active flag nor a date tells which is in use",
        .ids.len(),
        listed(.ids)
    )]
    Ambiguous {
        /// The letters.
        code: Code,
        /// The ids that they may stand for.
        ids: Vec<AttendanceCodeId>,
    },
}

/// Letters that a book has more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedCode<'a> {
    /// The letters.
    pub code: &'a Code,
    /// The lines with these letters, in the book's order; two at least.
    pub lines: Vec<&'a AttendanceCode>,
    /// The line that is written, and why it is that one.
    pub to_write: Option<(&'a AttendanceCode, ChosenFor)>,
}

/// Why one of several lines with the same letters is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChosenFor {
    /// It is the only one in use.
    Active,
    /// It is the newest.
    Newest,
}

impl fmt::Display for ChosenFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "the active one",
            Self::Newest => "the newest",
        })
    }
}

impl CodeBook {
    /// A book of these codes. A line without letters is left out, and so is one that says nothing new: of two with the
    /// same id the first counts, and of several with the same letters those without an id add nothing.
    pub fn new(codes: impl IntoIterator<Item = AttendanceCode>) -> Self {
        let mut book = Self::default();
        for code in codes {
            let known = match &code.id {
                Some(id) => book.by_id(id).is_some(),
                None => !book.same_letters(code.code.as_str()).is_empty(),
            };
            if !code.code.is_empty() && !known {
                book.codes.push(code);
            }
        }
        book
    }

    /// The codes of England's registers ("Working together to improve school attendance", Department for Education,
    /// in force from August 2024), without ids: to explain and check rules without a school's own book.
    pub fn england() -> Self {
        Self::new(ENGLAND.iter().map(|(code, description)| AttendanceCode {
            description: Some((*description).to_owned()),
            ..AttendanceCode::new(code)
        }))
    }

    /// A line with these letters, for their spelling and meaning: as written if there is one, else without regard to
    /// letter case. Of several the first; to write a mark take [`to_write`](Self::to_write).
    pub fn find(&self, letters: &str) -> Option<&AttendanceCode> {
        self.lines(letters).first().copied()
    }

    /// The line whose id a mark with these letters is written by. Of several lines with the same letters it is the only
    /// one that is active, or else the newest of those that are not called inactive, if the list says so.
    ///
    /// # Errors
    /// Returns an error if the book does not have the letters, or has them more than once without showing which line is
    /// in use.
    pub fn to_write(&self, letters: &str) -> Result<&AttendanceCode, NoCode> {
        let lines = self.lines(letters);
        match lines.as_slice() {
            [] => Err(NoCode::Unknown(Code::new(letters))),
            [one] => Ok(one),
            [first, ..] => match choose(&lines) {
                Some((line, _)) => Ok(line),
                None => Err(NoCode::Ambiguous {
                    code: first.code.clone(),
                    ids: lines.iter().filter_map(|line| line.id.clone()).collect(),
                }),
            },
        }
    }

    /// The letters that stand in the book more than once, in the book's order.
    pub fn repeated(&self) -> impl Iterator<Item = RepeatedCode<'_>> {
        self.letters().filter_map(|code| {
            let lines = self.same_letters(code.as_str());
            (lines.len() > 1).then(|| RepeatedCode {
                code,
                to_write: choose(&lines),
                lines,
            })
        })
    }

    /// The line with this id.
    pub fn by_id(&self, id: &AttendanceCodeId) -> Option<&AttendanceCode> {
        self.codes.iter().find(|line| line.id.as_ref() == Some(id))
    }

    /// All lines, in the book's order.
    pub fn iter(&self) -> impl Iterator<Item = &AttendanceCode> {
        self.codes.iter()
    }

    /// The letters of all codes, each once, in the book's order.
    pub fn letters(&self) -> impl Iterator<Item = &Code> {
        let mut told = HashSet::new();
        self.codes
            .iter()
            .map(|line| &line.code)
            .filter(move |code| told.insert(code.as_str()))
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether the book is empty, as a withdrawn permission leaves it.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    fn same_letters(&self, letters: &str) -> Vec<&AttendanceCode> {
        let lines = self.codes.iter();
        lines.filter(|line| line.code.as_str() == letters).collect()
    }

    /// The lines with these letters, or where there are none those that differ in letter case alone.
    fn lines(&self, letters: &str) -> Vec<&AttendanceCode> {
        let letters = letters.trim();
        let exact = self.same_letters(letters);
        if !exact.is_empty() {
            return exact;
        }
        let folded = letters.to_lowercase();
        let lines = self.codes.iter();
        lines
            .filter(|line| line.code.as_str().to_lowercase() == folded)
            .collect()
    }
}

/// The line to write among several; `None` if it cannot be determined.
fn choose<'a>(lines: &[&'a AttendanceCode]) -> Option<(&'a AttendanceCode, ChosenFor)> {
    let said = |active| {
        lines
            .iter()
            .copied()
            .filter(move |line| line.active == active)
    };
    let in_use: Vec<_> = match said(Some(true)).collect::<Vec<_>>() {
        none if none.is_empty() => said(None).collect(),
        active => active,
    };
    let candidates = match in_use.as_slice() {
        [one] => return Some((one, ChosenFor::Active)),
        [] => lines,
        several => several,
    };
    let newest = candidates.iter().map(|line| line.since).max()?;
    // A line of unknown age may be newer than all the others.
    let all_told = candidates.iter().all(|line| line.since.is_some());
    let mut newest = candidates.iter().filter(|line| line.since == newest);
    match (newest.next(), newest.next()) {
        (Some(one), None) if all_told => Some((one, ChosenFor::Newest)),
        _ => None,
    }
}

fn listed(ids: &[AttendanceCodeId]) -> String {
    let ids: Vec<_> = ids.iter().map(AttendanceCodeId::as_str).collect();
    ids.join(", ")
}

const ENGLAND: &[(&str, &str)] = &[
    ("/", "Present in the morning"),
    ("\\", "Present in the afternoon"),
    ("L", "Late, before the register closed"),
    ("K", "At provision arranged by the local authority"),
    ("V", "On an educational visit or trip"),
    ("P", "At a sporting activity"),
    ("W", "At work experience"),
    ("B", "At another approved educational activity"),
    ("D", "Dual registered, at the other school"),
    ("C", "Leave of absence, exceptional circumstances"),
    ("C1", "Leave of absence, performance or employment abroad"),
    ("C2", "Leave of absence, part-time timetable"),
    ("E", "Suspended or permanently excluded"),
    ("I", "Illness"),
    ("J1", "Leave of absence, interview"),
    ("M", "Medical or dental appointment"),
    ("R", "Religious observance"),
    ("S", "Study leave"),
    ("T", "Parent travelling for work"),
    ("G", "Holiday not granted"),
    ("N", "Reason not yet known"),
    ("O", "Absent without authorisation"),
    ("U", "Arrived after the register closed"),
    ("X", "Not of compulsory school age, not required to attend"),
    ("Q", "Unable to attend, no access arrangements"),
    ("Y1", "Unable to attend, transport not available"),
    ("Y2", "Unable to attend, travel disrupted"),
    ("Y3", "Unable to attend, part of the premises closed"),
    ("Y4", "Unable to attend, the whole site closed unexpectedly"),
    ("Y5", "Unable to attend, in detention under a sentence"),
    ("Y6", "Unable to attend, public health guidance or law"),
    ("Y7", "Unable to attend, another unavoidable cause"),
    ("Z", "Not yet on roll"),
    ("#", "Planned closure"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn line(code: &str, id: &str) -> AttendanceCode {
        AttendanceCode::new(code).with_id(id)
    }

    #[test]
    fn codes_ignore_letter_case_but_prefer_an_exact_match() {
        let book = CodeBook::new([line("l", "1"), line("L", "2"), line("M", "3")]);
        assert_eq!(book.find("L").and_then(|c| c.id.clone()), Some("2".into()));
        assert_eq!(
            book.find(" m ").and_then(|c| c.id.clone()),
            Some("3".into())
        );
        assert!(book.find("Drop").is_none());
    }

    fn written(book: &CodeBook, letters: &str) -> Option<String> {
        let line = book.to_write(letters).ok()?;
        line.id.as_ref().map(ToString::to_string)
    }

    #[test]
    fn a_code_listed_twice_is_known_by_both_ids_but_cannot_be_written() {
        let book = CodeBook::new([line("L", "1"), line("L", "2"), line("M", "3")]);
        for id in ["1", "2"] {
            let known = book.by_id(&id.into()).map(|line| line.code.as_str());
            assert_eq!(known, Some("L"), "{id}");
        }
        let error = book.to_write("l").unwrap_err();
        assert!(
            error.to_string().contains("L 2 times (ids 1, 2)"),
            "{error}"
        );
        assert_eq!(written(&book, "M").unwrap(), "3");
        let repeated: Vec<_> = book.repeated().collect();
        assert_eq!(repeated.len(), 1);
        assert_eq!(
            (repeated[0].code.as_str(), repeated[0].to_write),
            ("L", None)
        );
        assert_eq!(book.letters().count(), 2);
    }

    /// Each line as (active, year), and the place of the one that is written.
    #[rstest::rstest]
    #[case(&[(Some(false), None), (Some(true), None)], Some(1))]
    #[case(&[(Some(true), Some(2020)), (Some(false), Some(2026))], Some(0))]
    #[case(&[(None, None), (Some(false), None)], Some(0))]
    #[case(&[(None, Some(2026)), (Some(true), None)], Some(1))]
    #[case(&[(None, Some(2025)), (None, Some(2026))], Some(1))]
    #[case(&[(Some(true), Some(2026)), (Some(true), Some(2025))], Some(0))]
    #[case(&[(Some(false), Some(2025)), (Some(false), Some(2026))], Some(1))]
    #[case(&[(None, Some(2026)), (None, Some(2026))], None)]
    #[case(&[(None, Some(2026)), (None, None)], None)]
    #[case(&[(Some(true), None), (Some(true), None)], None)]
    #[case(&[(None, None), (None, None), (Some(false), Some(2026))], None)]
    fn the_active_one_is_written_or_else_the_newest(
        #[case] lines: &[(Option<bool>, Option<i32>)],
        #[case] expected: Option<usize>,
    ) {
        let lines = (0_usize..)
            .zip(lines)
            .map(|(n, (active, year))| AttendanceCode {
                active: *active,
                since: year.and_then(|year| NaiveDate::from_ymd_opt(year, 9, 1)),
                ..line("L", &n.to_string())
            });
        let book = CodeBook::new(lines);
        assert_eq!(written(&book, "L"), expected.map(|n| n.to_string()));
    }

    #[test]
    fn redundant_lines_are_omitted() {
        let book = CodeBook::new([
            line("L", "1"),
            line("L", "1"),
            AttendanceCode::new("L"),
            AttendanceCode::new("M"),
            AttendanceCode::new("M"),
            AttendanceCode::new(" "),
        ]);
        assert_eq!(book.len(), 2);
        assert_eq!(written(&book, "L").unwrap(), "1");
        assert!(book.to_write("M").is_ok());
    }

    #[test]
    fn englands_code_book_has_both_present_marks_and_no_ids() {
        let book = CodeBook::england();
        assert_eq!(book.len(), ENGLAND.len());
        assert!(book.find("/").is_some() && book.find("\\").is_some());
        assert!(book.iter().all(|line| line.id.is_none()));
    }
}
