//! Attendance codes and the code book that a school keeps of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use wonde::AttendanceCodeId;

/// The letters of an attendance code as a register shows them: `/`, `L`, `C1`.
///
/// Codes are compared as they stand. Where people type them, [`CodeBook::find`] forgives letter case.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Code(String);

impl Code {
    /// Takes the letters, without the blanks around them.
    pub fn new(letters: impl AsRef<str>) -> Self {
        Self(letters.as_ref().trim().to_owned())
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there are no letters at all, which no register knows.
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
    /// The id that a write at this school needs; `None` in a list that is no school's own, such as [`CodeBook::england`].
    #[serde(default)]
    pub id: Option<AttendanceCodeId>,
    /// What the code stands for, in the school's words.
    #[serde(default)]
    pub description: Option<String>,
}

/// The codes that a school's registers know. Only these may be written there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeBook {
    codes: Vec<AttendanceCode>,
}

impl CodeBook {
    /// A book of these codes. Of two lines with the same letters the first counts.
    pub fn new(codes: impl IntoIterator<Item = AttendanceCode>) -> Self {
        let mut book = Self::default();
        for code in codes {
            if !code.code.is_empty() && book.exact(code.code.as_str()).is_none() {
                book.codes.push(code);
            }
        }
        book
    }

    /// The codes of England's registers ("Working together to improve school attendance", Department for Education,
    /// in force from August 2024), without ids: for explaining and checking where no school can be asked.
    pub fn england() -> Self {
        Self::new(ENGLAND.iter().map(|(code, description)| AttendanceCode {
            code: Code::new(code),
            id: None,
            description: Some((*description).to_owned()),
        }))
    }

    /// The line with these letters: as written if there is one, else without regard to letter case.
    pub fn find(&self, letters: &str) -> Option<&AttendanceCode> {
        let letters = letters.trim();
        self.exact(letters).or_else(|| {
            let folded = letters.to_lowercase();
            self.codes
                .iter()
                .find(|line| line.code.as_str().to_lowercase() == folded)
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

    /// How many codes there are.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether the book is empty, as a withdrawn permission leaves it.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    fn exact(&self, letters: &str) -> Option<&AttendanceCode> {
        self.codes.iter().find(|line| line.code.as_str() == letters)
    }
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
        AttendanceCode {
            code: Code::new(code),
            id: Some(id.into()),
            description: None,
        }
    }

    #[test]
    fn letter_case_is_forgiven_but_an_exact_line_comes_first() {
        let book = CodeBook::new([line("l", "1"), line("L", "2"), line("M", "3")]);
        assert_eq!(book.find("L").and_then(|c| c.id.clone()), Some("2".into()));
        assert_eq!(
            book.find(" m ").and_then(|c| c.id.clone()),
            Some("3".into())
        );
        assert!(book.find("Drop").is_none());
    }

    #[test]
    fn of_two_lines_with_the_same_letters_the_first_counts() {
        let book = CodeBook::new([line("L", "1"), line("L", "2")]);
        assert_eq!(book.len(), 1);
        assert_eq!(book.find("L").and_then(|c| c.id.clone()), Some("1".into()));
    }

    #[test]
    fn englands_book_has_both_present_marks_and_no_ids() {
        let book = CodeBook::england();
        assert_eq!(book.len(), ENGLAND.len());
        assert!(book.find("/").is_some() && book.find("\\").is_some());
        assert!(book.iter().all(|line| line.id.is_none()));
    }
}
