//! Faults in requests and in their results.

use mis_wonde::{
    Accepted, Error, ErrorKind, Mark, MarkResult, Recovery, WritebackOutcome,
    strategies::REGISTER_MAX,
    wonde::{self, AttendanceCodeId, SessionMark, WritebackId},
};

use crate::{
    Wrong,
    bent::{Bend, Bent, SESSION, STRAIGHT, wrong},
};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        does: "sends an employee with every mark",
        descriptor: &WRONG_BODY,
        fixtures: "session",
        caught_by: &[
            "session::a_mark_is_stored",
            "comment::is_stored",
            "minutes_late::are_stored",
            "early_leaver::is_stored",
        ],
    },
    Wrong {
        does: "drops comments",
        descriptor: &DROPS_COMMENTS,
        fixtures: "session",
        caught_by: &["comment::is_stored", "session::a_register_is_one_request"],
    },
    Wrong {
        does: "drops minutes late",
        descriptor: &DROPS_MINUTES,
        fixtures: "session",
        caught_by: &[
            "minutes_late::are_stored",
            "session::a_register_is_one_request",
        ],
    },
    Wrong {
        does: "writes early leavers in the morning",
        descriptor: &MORNING_ONLY,
        fixtures: "session",
        caught_by: &["early_leaver::is_stored"],
    },
    Wrong {
        does: "sends each mark in its own request",
        descriptor: &ONE_BY_ONE,
        fixtures: "session",
        caught_by: &["session::a_register_is_one_request"],
    },
    Wrong {
        does: "returns results in another order",
        descriptor: &BACKWARDS,
        fixtures: "session",
        caught_by: &["code::unknown_is_rejected"],
    },
    Wrong {
        does: "reports every writeback as done",
        descriptor: &OPTIMIST,
        fixtures: "session",
        caught_by: &[
            "session::the_outcome_is_reported",
            "session::an_unknown_writeback_is_not_found",
            "sandbox::a_whole_day_is_written_confirmed_and_read_back",
        ],
    },
    Wrong {
        does: "reports every mark of a finished writeback as done",
        descriptor: &WHOLESALER,
        fixtures: "session",
        caught_by: &["session::the_outcome_is_reported"],
    },
    Wrong {
        does: "sends codes instead of their ids",
        descriptor: &LETTERS,
        fixtures: "session",
        caught_by: &[
            "code::is_sent_as_the_schools_own_id",
            "session::a_mark_is_stored",
        ],
    },
    Wrong {
        does: "sends unknown codes",
        descriptor: &UNCHECKED,
        fixtures: "session",
        caught_by: &[
            "code::unknown_is_rejected",
            // It also sends the first of two codes with the same letters.
            "code::repeated_is_written_as_the_active_one",
            "code::repeated_is_rejected_if_no_single_one_is_active",
        ],
    },
    Wrong {
        does: "fails the whole register for one unknown code",
        descriptor: &ALL_OR_NOTHING,
        fixtures: "session",
        caught_by: &["code::unknown_is_rejected"],
    },
    Wrong {
        does: "ignores a rejection",
        descriptor: &SWALLOWS,
        fixtures: "session",
        caught_by: &[
            "pupil::of_another_school_is_rejected",
            "write_fault::422_is_rejected",
            "register::a_rejected_register_is_split_to_isolate_bad_marks",
        ],
    },
    Wrong {
        does: "sends an empty register",
        descriptor: &SENDS_NOTHING,
        fixtures: "session",
        caught_by: &["register::an_empty_register_sends_nothing"],
    },
    Wrong {
        does: "does not split a rejected register",
        descriptor: &IN_ONE_PIECE,
        fixtures: "session",
        caught_by: &[
            "register::a_rejected_register_is_split_to_isolate_bad_marks",
            "register::a_large_register_is_sent_in_parts",
            "pupil::of_another_school_is_rejected",
        ],
    },
    Wrong {
        does: "resends good marks while it splits a register",
        descriptor: &TWICE,
        fixtures: "session",
        caught_by: &["register::a_rejected_register_is_split_to_isolate_bad_marks"],
    },
    Wrong {
        does: "reports unsent marks as unknown",
        descriptor: &FORGETS_UNSENT,
        fixtures: "session",
        caught_by: &["register::unsent_marks_are_reported_as_unsent"],
    },
];

/// Sends the changed marks in one request, and trusts the response.
async fn send_as(
    bent: &Bent,
    marks: &[Mark],
    change: fn(&mut SessionMark, &Mark),
) -> mis_wonde::Result<Vec<MarkResult>> {
    let mut bodies = bent.bodies(marks).await?;
    for (body, mark) in bodies.iter_mut().zip(marks) {
        change(body, mark);
    }
    let receipt = match bent
        .connection
        .school()
        .write_session_attendance(&bodies)
        .await
    {
        Ok(receipt) => receipt,
        Err(error) => {
            let error = mis_wonde::error(error);
            let result = if error.kind() == ErrorKind::Refused {
                MarkResult::Refused
            } else {
                MarkResult::Failed
            };
            return Ok(marks.iter().map(|_| result(error.clone())).collect());
        }
    };
    Ok(marks
        .iter()
        .map(|_| accepted(&receipt.writeback_id))
        .collect())
}

fn accepted(writeback: &WritebackId) -> MarkResult {
    MarkResult::Accepted(Accepted::new(writeback.as_str()))
}

wrong!(WRONG_BODY: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        send_as(bent, &marks, |body, _| body.employee_id = Some("A1500000001".into())).await
    })),
    ..STRAIGHT
});
wrong!(DROPS_COMMENTS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        send_as(bent, &marks, |body, _| body.comment = None).await
    })),
    ..STRAIGHT
});
wrong!(DROPS_MINUTES: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        send_as(bent, &marks, |body, _| body.minutes_late = None).await
    })),
    ..STRAIGHT
});
wrong!(MORNING_ONLY: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        send_as(bent, &marks, |body, _| body.session = wonde::Session::Am).await
    })),
    ..STRAIGHT
});
wrong!(ONE_BY_ONE: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let mut results = Vec::new();
        for mark in marks {
            results.extend(bent.right.write(&[mark]).await?);
        }
        Ok(results)
    })),
    ..STRAIGHT
});
wrong!(BACKWARDS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        // Rejected ones first, as if sorted by result.
        let mut results = bent.right.write(&marks).await?;
        results.sort_by_key(|result| !matches!(result, MarkResult::Refused(_)));
        Ok(results)
    })),
    ..STRAIGHT
});
wrong!(OPTIMIST: SESSION, Bend {
    outcome: Some(|_, _| Box::pin(async { Ok(WritebackOutcome::Done) })),
    ..STRAIGHT
});
wrong!(WHOLESALER: SESSION, Bend {
    outcome: Some(|bent, writeback| Box::pin(async move {
        Ok(match bent.right.outcome(&writeback).await? {
            WritebackOutcome::DoneInPart { .. } => WritebackOutcome::Done,
            told => told,
        })
    })),
    ..STRAIGHT
});
wrong!(LETTERS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        send_as(bent, &marks, |body, mark| body.attendance_code_id = AttendanceCodeId::new(mark.code.as_str())).await
    })),
    ..STRAIGHT
});
wrong!(UNCHECKED: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move { send_as(bent, &marks, |_, _| {}).await })),
    ..STRAIGHT
});
wrong!(ALL_OR_NOTHING: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let results = bent.right.write(&marks).await?;
        for result in &results {
            if let MarkResult::Refused(error) = result {
                return Err(error.clone());
            }
        }
        Ok(results)
    })),
    ..STRAIGHT
});
wrong!(SWALLOWS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let results = bent.right.write(&marks).await?;
        let swallow = |result| match result {
            MarkResult::Refused(_) => accepted(&"W100000001".into()),
            other => other,
        };
        Ok(results.into_iter().map(swallow).collect())
    })),
    ..STRAIGHT
});
wrong!(SENDS_NOTHING: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        if marks.is_empty() {
            bent.right.code_book().await?;
        }
        bent.right.write(&marks).await
    })),
    ..STRAIGHT
});
wrong!(IN_ONE_PIECE: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move { send_as(bent, &marks, |_, _| {}).await })),
    ..STRAIGHT
});
wrong!(TWICE: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let results = bent.right.write(&marks).await?;
        if results.iter().any(|result| matches!(result, MarkResult::Refused(_))) {
            let good = marks.iter().zip(&results).filter(|(_, result)| matches!(result, MarkResult::Accepted(_)));
            let good: Vec<Mark> = good.map(|(mark, _)| mark.clone()).collect();
            let again = bent.right.write(&good).await?;
            let mut again = again.into_iter();
            let fresh = |result| match result {
                MarkResult::Accepted(_) => again.next().unwrap(),
                other => other,
            };
            return Ok(results.into_iter().map(fresh).collect());
        }
        Ok(results)
    })),
    ..STRAIGHT
});
wrong!(FORGETS_UNSENT: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let results = bent.right.write(&marks).await?;
        let unknown = |(place, result)| match result {
            MarkResult::Failed(error) if place >= 2 * REGISTER_MAX => {
                MarkResult::Failed(Error::with_recovery(error.kind(), Recovery::Unknown, "who knows"))
            }
            other => other,
        };
        Ok(results.into_iter().enumerate().map(unknown).collect())
    })),
    ..STRAIGHT
});
