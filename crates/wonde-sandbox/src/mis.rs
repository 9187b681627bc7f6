//! The MISs of the sandbox: what each stores with a mark, its formats, and its status words.

use crate::paging::ShortList;

/// Where an MIS stores the mark of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// One mark for each morning and afternoon.
    Session,
    /// Marks belong to lessons; the first lesson of a session carries the session's mark.
    Lesson,
}

/// The ages that a school with this MIS teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Reception to Year 6, no timetable.
    Primary,
    /// Years 7 to 13.
    Secondary,
    /// Years 7 to 13, with boarding houses.
    Independent,
}

/// The status words of a writeback. The real ones are not known, so they differ on purpose.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) queued: &'static str,
    pub(crate) processing: &'static str,
    pub(crate) done: &'static str,
    pub(crate) failed: &'static str,
}

/// One kind of MIS.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its name in a school's `mis`.
    pub(crate) name: &'static str,
    pub(crate) phase: Phase,
    pub(crate) register: Register,
    /// Accepts marks.
    pub(crate) writes: bool,
    pub(crate) comment: bool,
    pub(crate) minutes_late: bool,
    pub(crate) campus: bool,
    pub(crate) words: &'static Words,
    /// Times carry a fraction of a second.
    pub(crate) fraction: bool,
    /// `relationship` of a pupil's contact is wrapped in `data`.
    pub(crate) wrapped: bool,
    /// An empty relation is an empty list rather than null.
    pub(crate) empty_as_list: bool,
    /// Identity of the permission to write attendance; the real one is not known.
    pub(crate) write_permission: &'static str,
    pub(crate) timezone: &'static str,
    /// The envelope of a list that fits on one page.
    pub(crate) short: ShortList,
    /// `period_instance_id` is a number rather than text.
    pub(crate) numbered_instances: bool,
    /// `date_of_birth` is a plain date rather than an object.
    pub(crate) plain_birth: bool,
}

const PLAIN: Words = words("queued", "processing", "completed", "failed");
const PENDING: Words = words("pending", "in_progress", "success", "error");
const SENT: Words = words("submitted", "sent", "written", "rejected");
const SHORT: Words = words("queued", "processing", "complete", "fail");
const CAPITAL: Words = words("Queued", "Processing", "Successful", "Failed");
const TAKEN: Words = words("accepted", "processing", "processed", "cancelled");

const fn words(
    queued: &'static str,
    processing: &'static str,
    done: &'static str,
    failed: &'static str,
) -> Words {
    Words {
        queued,
        processing,
        done,
        failed,
    }
}

/// A secondary school whose MIS stores session marks with everything; the others differ from it.
const BASE: Shape = Shape {
    name: "",
    phase: Phase::Secondary,
    register: Register::Session,
    writes: true,
    comment: true,
    minutes_late: true,
    campus: false,
    words: &PLAIN,
    fraction: true,
    wrapped: false,
    empty_as_list: false,
    write_permission: "attendance-session.write",
    timezone: "Europe/London",
    short: ShortList::Unpaged,
    numbered_instances: true,
    plain_birth: false,
};

/// All kinds, in the order of a sandbox's schools.
pub(crate) static SHAPES: [Shape; 12] = [
    Shape {
        name: "SIMS",
        ..BASE
    },
    Shape {
        name: "Arbor",
        short: ShortList::Paged,
        numbered_instances: false,
        plain_birth: true,
        register: Register::Lesson,
        words: &PENDING,
        fraction: false,
        empty_as_list: true,
        write_permission: "write_lesson_attendance",
        ..BASE
    },
    Shape {
        name: "ScholarPack",
        short: ShortList::Bare,
        phase: Phase::Primary,
        writes: false,
        words: &SENT,
        ..BASE
    },
    Shape {
        name: "Bromcom",
        short: ShortList::Bare,
        plain_birth: true,
        words: &SHORT,
        write_permission: "write-attendance",
        ..BASE
    },
    Shape {
        name: "iSAMS",
        numbered_instances: false,
        phase: Phase::Independent,
        words: &CAPITAL,
        wrapped: true,
        ..BASE
    },
    Shape {
        name: "Pupil Asset",
        short: ShortList::Paged,
        phase: Phase::Primary,
        words: &TAKEN,
        fraction: false,
        empty_as_list: true,
        ..BASE
    },
    Shape {
        name: "Engage",
        short: ShortList::Bare,
        phase: Phase::Independent,
        minutes_late: false,
        campus: true,
        words: &PENDING,
        ..BASE
    },
    Shape {
        name: "Facility CMIS",
        comment: false,
        minutes_late: false,
        words: &SENT,
        ..BASE
    },
    Shape {
        name: "Cloud School",
        comment: false,
        minutes_late: false,
        words: &SHORT,
        ..BASE
    },
    Shape {
        name: "SchoolBase",
        phase: Phase::Independent,
        comment: false,
        minutes_late: false,
        words: &CAPITAL,
        ..BASE
    },
    Shape {
        name: "RM Integris",
        phase: Phase::Primary,
        writes: false,
        words: &TAKEN,
        ..BASE
    },
    Shape {
        name: "Nonesuch MIS",
        writes: false,
        timezone: "Asia/Dubai",
        ..BASE
    },
];

/// The kind of MIS of the school at this position.
pub(crate) fn of(school: u32) -> &'static Shape {
    let n = SHAPES.len();
    SHAPES.get(school as usize % n).unwrap_or(&SHAPES[0])
}

/// A kind by name, in any case.
pub(crate) fn named(name: &str) -> Option<&'static Shape> {
    SHAPES.iter().find(|s| s.name.eq_ignore_ascii_case(name))
}

impl Shape {
    /// True if lessons are timetabled.
    pub(crate) fn timetabled(&self) -> bool {
        self.phase != Phase::Primary
    }

    /// True if pupils may board.
    pub(crate) fn boards(&self) -> bool {
        self.phase == Phase::Independent
    }

    /// The reason why this MIS does not store a mark of this kind, if it does not.
    pub(crate) fn rejects(&self, sort: Register) -> Option<&'static str> {
        if !self.writes {
            Some("This MIS does not accept attendance through the API.")
        } else if sort == Register::Lesson && !self.timetabled() {
            Some("This MIS does not store lesson attendance.")
        } else if sort == Register::Session && self.register == Register::Lesson {
            Some("This MIS stores session attendance on lessons.")
        } else {
            None
        }
    }
}
