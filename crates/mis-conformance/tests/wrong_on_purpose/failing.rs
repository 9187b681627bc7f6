//! Faults in error handling: the kind, the recovery, the number of attempts, and secrets in messages.

use std::time::Duration;

use futures::StreamExt as _;
use mis_wonde::{Accepted, Error, ErrorKind, MarkResult, Recovery};

use crate::{
    Wrong,
    bent::{Bend, Bent, SESSION, STRAIGHT, wrong},
};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        does: "returns `Unavailable` with `Retry` for every failure",
        descriptor: &SHRUGS,
        fixtures: "session",
        caught_by: &[
            "write_fault::401_is_unauthorized",
            "write_fault::403_is_forbidden",
            "write_fault::404_is_not_found",
            "write_fault::422_is_rejected",
            "write_fault::429_reports_how_long_to_wait",
            "write_fault::5xx_is_unknown",
            "write_fault::time_out_is_unknown",
            "write_fault::cut_connection_is_unknown",
            "write_fault::malformed_response_is_unknown",
            "read_fault::each_status_has_its_error",
            "read_fault::malformed_response_is_a_decoding_error",
        ],
    },
    Wrong {
        does: "returns `Never` for every failure",
        descriptor: &GIVES_UP,
        fixtures: "session",
        caught_by: &[
            "write_fault::429_reports_how_long_to_wait",
            "write_fault::5xx_is_unknown",
            "write_fault::503_can_be_retried",
            "write_fault::time_out_is_unknown",
            "write_fault::cut_connection_is_unknown",
            "read_fault::time_out_and_cut_connection_can_be_retried",
        ],
    },
    Wrong {
        does: "always returns a wait of one second",
        descriptor: &IMPATIENT,
        fixtures: "session",
        caught_by: &[
            "write_fault::429_reports_how_long_to_wait",
            "write_fault::503_can_be_retried",
        ],
    },
    Wrong {
        does: "takes a malformed response for a receipt",
        descriptor: &CREDULOUS,
        fixtures: "session",
        caught_by: &["write_fault::malformed_response_is_unknown"],
    },
    Wrong {
        does: "retries without end",
        descriptor: &STUBBORN,
        fixtures: "session",
        caught_by: &[
            "write_fault::429_reports_how_long_to_wait",
            "write_fault::5xx_is_unknown",
            "write_fault::503_can_be_retried",
        ],
    },
    Wrong {
        does: "resends marks that may have been stored",
        descriptor: &REPEATS,
        fixtures: "session",
        caught_by: &[
            "write_fault::time_out_is_unknown",
            "write_fault::cut_connection_is_unknown",
        ],
    },
    Wrong {
        does: "panics on a failure",
        descriptor: &PANICS,
        fixtures: "session",
        caught_by: &["write_fault::401_is_unauthorized"],
    },
    Wrong {
        does: "repeats a mark's comment and the server's message in its errors",
        descriptor: &TATTLES,
        fixtures: "session",
        caught_by: &[
            "secrets::stay_out_of_errors_of_writing",
            "secrets::stay_out_of_errors_of_reading",
        ],
    },
    Wrong {
        does: "shows its marks in its debug text",
        descriptor: &SHOWS,
        fixtures: "session",
        caught_by: &["secrets::stay_out_of_debug"],
    },
];

/// The correct result with a changed error.
async fn with_errors(
    bent: &Bent,
    marks: &[mis_wonde::Mark],
    change: fn(Error) -> Error,
) -> mis_wonde::Result<Vec<MarkResult>> {
    let results = bent.right.write(marks).await.map_err(change)?;
    let changed = |result| match result {
        MarkResult::Failed(error) => MarkResult::Failed(change(error)),
        MarkResult::Refused(error) => MarkResult::Failed(change(error)),
        accepted @ (MarkResult::Accepted(_) | MarkResult::Written) => accepted,
    };
    Ok(results.into_iter().map(changed).collect())
}

fn shrug(_: Error) -> Error {
    Error::with_recovery(
        ErrorKind::Unavailable,
        Recovery::Retry,
        "it did not work; try again",
    )
}

fn give_up(error: Error) -> Error {
    Error::new(error.kind(), "it did not work")
}

fn tattle(error: Error) -> Error {
    let said = error.server_message().unwrap_or_default().to_owned();
    Error::with_recovery(error.kind(), error.recovery(), format!("{error}: {said}"))
}

wrong!(SHRUGS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move { with_errors(bent, &marks, shrug).await })),
    code_book: Some(|bent, ()| Box::pin(async move { bent.right.code_book().await.map_err(shrug) })),
    ..STRAIGHT
});
wrong!(GIVES_UP: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move { with_errors(bent, &marks, give_up).await })),
    register: Some(|bent, date| Box::pin(async move { bent.right.register(date).await.map_err(give_up) })),
    ..STRAIGHT
});
wrong!(IMPATIENT: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        with_errors(bent, &marks, |error| {
            Error::with_recovery(error.kind(), Recovery::RetryAfter(Duration::from_secs(1)), "wait a second")
        }).await
    })),
    ..STRAIGHT
});
wrong!(CREDULOUS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let results = bent.right.write(&marks).await?;
        let believe = |result| match result {
            MarkResult::Failed(error) if error.kind() == ErrorKind::Decode => {
                MarkResult::Accepted(Accepted::new("W100000001"))
            }
            other => other,
        };
        Ok(results.into_iter().map(believe).collect())
    })),
    ..STRAIGHT
});
wrong!(STUBBORN: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        loop {
            let results = bent.right.write(&marks).await?;
            if !results.iter().any(|result| matches!(result, MarkResult::Failed(_))) {
                return Ok(results);
            }
        }
    })),
    ..STRAIGHT
});
wrong!(REPEATS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let results = bent.right.write(&marks).await?;
        match results.first() {
            Some(MarkResult::Failed(error)) if error.recovery() == Recovery::Unknown => bent.right.write(&marks).await,
            _ => Ok(results),
        }
    })),
    ..STRAIGHT
});
wrong!(PANICS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let results = bent.right.write(&marks).await?;
        assert!(!results.iter().any(|result| matches!(result, MarkResult::Failed(_))), "it should have worked");
        Ok(results)
    })),
    ..STRAIGHT
});
wrong!(TATTLES: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move { with_errors(bent, &marks, tattle).await })),
    people: Some(|bent, query| bent.right.people(query).map(|person| person.map_err(tattle)).boxed()),
    ..STRAIGHT
});
wrong!(SHOWS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        bent.memory.lock().unwrap().extend(marks.clone());
        bent.right.write(&marks).await
    })),
    debug: Some(|bent| {
        let marks = bent.memory.lock().unwrap();
        marks.iter().map(|mark| format!("{mark:?} {:?}", mark.comment)).collect()
    }),
    ..STRAIGHT
});
