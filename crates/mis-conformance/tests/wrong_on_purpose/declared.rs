//! Faults in the descriptor, the fixtures and the capabilities, and abilities that do not match them.

use futures::stream::{self, StreamExt as _};
use mis_wonde::{
    Ability, Capabilities, Descriptor, Error, EventKind, Mark, MarkResult, Recovery,
    WritebackOutcome, wonde,
};

use crate::{
    Wrong,
    bent::{BARE, Bend, READ_ONLY, SESSION, STRAIGHT, WHOLE, WITHOUT_ROSTER, wrong},
};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        does: "has an invalid date",
        descriptor: &UNDATED,
        fixtures: "session",
        caught_by: &["descriptor::is_valid"],
    },
    Wrong {
        does: "has only a to-do as notes",
        descriptor: &UNFINISHED,
        fixtures: "session",
        caught_by: &["descriptor::is_valid"],
    },
    Wrong {
        does: "is not registered",
        descriptor: &UNDATED,
        fixtures: "session",
        caught_by: &["descriptor::is_registered"],
    },
    Wrong {
        does: "has no fixtures",
        descriptor: &WHOLE,
        fixtures: "none",
        caught_by: &[
            "fixtures::are_complete",
            "session::a_mark_is_stored",
            "session::the_outcome_is_reported",
            "comment::is_stored",
            "minutes_late::are_stored",
            "early_leaver::is_stored",
            "roster::a_pupil_of_this_mis_is_read_in_full",
        ],
    },
    Wrong {
        does: "has fixtures for undeclared abilities",
        descriptor: &READER,
        fixtures: "session",
        caught_by: &["fixtures::are_complete"],
    },
    Wrong {
        does: "reports more than it declares",
        descriptor: &WIDER,
        fixtures: "session",
        caught_by: &["capabilities::are_never_wider_than_declared"],
    },
    Wrong {
        does: "reports no abilities",
        descriptor: &TIMID,
        fixtures: "session",
        caught_by: &["capabilities::are_complete_if_everything_is_granted"],
    },
    Wrong {
        does: "ignores the grants of the school and the operator",
        descriptor: &HEADSTRONG,
        fixtures: "session",
        caught_by: &[
            "capabilities::are_never_wider_than_declared",
            "capabilities::a_school_that_denies_writing_receives_no_marks",
            "capabilities::the_operator_can_remove_abilities",
        ],
    },
    Wrong {
        does: "writes although it is declared as read-only",
        descriptor: &SECRET_WRITER,
        fixtures: "read_only",
        caught_by: &[
            "session::is_rejected_without_a_request",
            "comment::is_rejected_without_a_request",
            "minutes_late::are_rejected_without_a_request",
            "early_leaver::is_rejected_without_a_request",
        ],
    },
    Wrong {
        does: "returns an outcome although nothing can be written",
        descriptor: &ORACLE,
        fixtures: "read_only",
        caught_by: &["session::is_rejected_without_a_request"],
    },
    Wrong {
        does: "stores more with a mark than it declares",
        descriptor: &SECRET_KEEPER,
        fixtures: "session",
        caught_by: &[
            "comment::is_rejected_without_a_request",
            "minutes_late::are_rejected_without_a_request",
            "early_leaver::is_rejected_without_a_request",
        ],
    },
    Wrong {
        does: "silently drops undeclared parts of a mark",
        descriptor: &SILENT_DROPPER,
        fixtures: "session",
        caught_by: &[
            "comment::is_rejected_without_a_request",
            "minutes_late::are_rejected_without_a_request",
        ],
    },
    Wrong {
        does: "rejects a declared ability",
        descriptor: &PROMISER,
        fixtures: "session",
        caught_by: &["session::a_mark_is_stored"],
    },
    Wrong {
        does: "rejects sign-outs although it declares them",
        descriptor: &NO_LEAVERS,
        fixtures: "session",
        caught_by: &["early_leaver::is_stored"],
    },
    Wrong {
        does: "cuts comments that are too long",
        descriptor: &CUTTER,
        fixtures: "short",
        caught_by: &["comment::too_long_is_rejected_without_a_request"],
    },
    Wrong {
        does: "reads people although the roster is not declared",
        descriptor: &SECRET_READER,
        fixtures: "none",
        caught_by: &["roster::is_rejected_without_a_request"],
    },
];

static UNDATED: Descriptor = SESSION.with_source("made up", "last week");
static UNFINISHED: Descriptor = SESSION.with_notes("TO DO: what a school should know");
static READER: Descriptor = READ_ONLY;

wrong!(WIDER: BARE, Bend {
    capabilities: Some(|_| SESSION.capabilities),
    ..STRAIGHT
});
wrong!(TIMID: SESSION, Bend {
    capabilities: Some(|_| Capabilities::READ_ONLY),
    ..STRAIGHT
});
wrong!(HEADSTRONG: SESSION, Bend {
    capabilities: Some(|_| SESSION.capabilities),
    write: Some(|bent, marks| Box::pin(async move {
        let bodies = bent.bodies(&marks).await?;
        bent.connection.school().write_session_attendance(&bodies).await.map_err(mis_wonde::error)?;
        Ok(Vec::new())
    })),
    ..STRAIGHT
});
wrong!(SECRET_WRITER: READ_ONLY, Bend { as_if: Some(&WHOLE), ..STRAIGHT });
wrong!(ORACLE: READ_ONLY, Bend {
    outcome: Some(|_, _| Box::pin(async { Ok(WritebackOutcome::Done) })),
    ..STRAIGHT
});
wrong!(SECRET_KEEPER: BARE, Bend { as_if: Some(&WHOLE), ..STRAIGHT });
wrong!(SILENT_DROPPER: BARE, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let bare = |mark: Mark| Mark { comment: None, minutes_late: None, ..mark };
        bent.right.write(&marks.into_iter().map(bare).collect::<Vec<_>>()).await
    })),
    ..STRAIGHT
});
wrong!(PROMISER: SESSION, Bend {
    write: Some(|_, _| Box::pin(async { Err(Error::unsupported("Promiser", Ability::Session)) })),
    ..STRAIGHT
});
wrong!(NO_LEAVERS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        if marks.iter().any(|mark| mark.cause == EventKind::SignOut) {
            let error = Error::with_recovery(mis_wonde::ErrorKind::Refused, Recovery::Never, "no leavers");
            return Ok(marks.iter().map(|_| MarkResult::Refused(error.clone())).collect());
        }
        bent.right.write(&marks).await
    })),
    ..STRAIGHT
});

/// Stores comments of up to 40 characters.
const SHORT: Descriptor = SESSION.with_capabilities(SESSION.capabilities.with_comment_max(40));
wrong!(CUTTER: SHORT, Bend {
    write: Some(|bent, mut marks| Box::pin(async move {
        for mark in &mut marks {
            mark.comment = mark.comment.take().map(|comment| comment.chars().take(40).collect());
        }
        bent.right.write(&marks).await
    })),
    ..STRAIGHT
});

wrong!(SECRET_READER: WITHOUT_ROSTER, Bend {
    as_if: Some(&READER),
    groups: Some(|bent| {
        let groups = bent.connection.school().groups(wonde::ListQuery::default());
        groups.filter_map(|_| async { None }).chain(stream::empty()).boxed()
    }),
    ..STRAIGHT
});
