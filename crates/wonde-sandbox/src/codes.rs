//! Attendance codes: England's list, and a few of a school's own.

use chrono::NaiveDate;

use crate::mis::{Phase, Shape};

/// One code of a school's code book.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) letter: &'static str,
    pub(crate) description: &'static str,
    pub(crate) kind: &'static str,
    /// Whether the list has it.
    pub(crate) listed: bool,
    /// The list's `active` and dates, if set.
    pub(crate) active: Option<bool>,
    pub(crate) start_date: Option<NaiveDate>,
}

const PRESENT: &str = "PRESENT";
const LATE: &str = "LATE";
const ELSEWHERE: &str = "APPROVED_EDUCATIONAL_ACTIVITY";
const AUTHORISED: &str = "AUTHORISED_ABSENCE";
const UNAUTHORISED: &str = "UNAUTHORISED_ABSENCE";
const NOT_REQUIRED: &str = "ATTENDANCE_NOT_REQUIRED";

/// The codes of "Working together to improve school attendance" (Department for Education, August 2024).
const ENGLAND: [(&str, &str, &str); 34] = [
    ("/", "Present (AM)", PRESENT),
    ("\\", "Present (PM)", PRESENT),
    ("L", "Late arrival before the register is closed", LATE),
    (
        "K",
        "Attending education provision arranged by the local authority",
        ELSEWHERE,
    ),
    ("V", "Attending an educational visit or trip", ELSEWHERE),
    ("P", "Participating in a sporting activity", ELSEWHERE),
    ("W", "Attending work experience", ELSEWHERE),
    (
        "B",
        "Attending any other approved educational activity",
        ELSEWHERE,
    ),
    ("D", "Dual registered at another school", NOT_REQUIRED),
    (
        "C",
        "Leave of absence for exceptional circumstance",
        AUTHORISED,
    ),
    (
        "C1",
        "Leave for a regulated performance or employment abroad",
        AUTHORISED,
    ),
    ("C2", "Leave for a part-time timetable", AUTHORISED),
    ("E", "Suspended or permanently excluded", AUTHORISED),
    (
        "I",
        "Illness (not medical or dental appointment)",
        AUTHORISED,
    ),
    ("J1", "Leave for an interview", AUTHORISED),
    ("M", "Leave for a medical or dental appointment", AUTHORISED),
    ("R", "Religious observance", AUTHORISED),
    (
        "S",
        "Leave for studying for a public examination",
        AUTHORISED,
    ),
    (
        "T",
        "Parent travelling for occupational purposes",
        AUTHORISED,
    ),
    ("G", "Holiday not granted by the school", UNAUTHORISED),
    ("N", "Reason for absence not yet established", UNAUTHORISED),
    (
        "O",
        "Absent in other or unknown circumstances",
        UNAUTHORISED,
    ),
    (
        "U",
        "Arrived in school after registration closed",
        UNAUTHORISED,
    ),
    (
        "Q",
        "Unable to attend because of a lack of access arrangements",
        NOT_REQUIRED,
    ),
    (
        "X",
        "Non-compulsory school age pupil not required to attend",
        NOT_REQUIRED,
    ),
    (
        "Y1",
        "Unable to attend: transport not available",
        NOT_REQUIRED,
    ),
    (
        "Y2",
        "Unable to attend: widespread disruption to travel",
        NOT_REQUIRED,
    ),
    (
        "Y3",
        "Unable to attend: part of the premises closed",
        NOT_REQUIRED,
    ),
    (
        "Y4",
        "Unable to attend: whole site unexpectedly closed",
        NOT_REQUIRED,
    ),
    (
        "Y5",
        "Unable to attend: in criminal justice detention",
        NOT_REQUIRED,
    ),
    (
        "Y6",
        "Unable to attend: public health guidance or law",
        NOT_REQUIRED,
    ),
    (
        "Y7",
        "Unable to attend: any other unavoidable cause",
        NOT_REQUIRED,
    ),
    (
        "Z",
        "Prospective pupil not on admission register",
        NOT_REQUIRED,
    ),
    ("#", "Planned whole school closure", NOT_REQUIRED),
];

/// The code book of a school of this kind, in its own order (shifted by `turn`), so that ids do not follow the letters.
pub(crate) fn book(shape: &Shape, turn: usize) -> Vec<Code> {
    let mut book: Vec<Code> = ENGLAND.iter().map(Code::from).collect();
    if shape.phase == Phase::Independent {
        let own = [
            ("MU", "Music lesson", PRESENT),
            ("BD", "Resting in the boarding house", AUTHORISED),
        ];
        book.extend(own.iter().map(Code::from));
    }
    let len = book.len();
    book.rotate_left(turn % len);
    book
}

/// The API's own list; its ids cannot be written.
pub(crate) fn global() -> Vec<Code> {
    ENGLAND.iter().map(Code::from).collect()
}

impl From<&(&'static str, &'static str, &'static str)> for Code {
    fn from(&(letter, description, kind): &(&'static str, &'static str, &'static str)) -> Self {
        Self {
            letter,
            description,
            kind,
            listed: true,
            active: None,
            start_date: None,
        }
    }
}
