//! `markback events correct`: withdraws an event that was wrong.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::{Correct, known, one_school};
use crate::commands::{
    open_store::{Access, open_store},
    recorded,
    stored::text_of,
};
use markback::{
    correction::{Correction, correct},
    operator::OperatorError,
    people::PersonIndex,
    pipeline::InputProblem,
    settings::Settings,
    store::EventState,
    text,
};
use markback_console::{BadInput, output};

/// Corrects one event. The exit code is 1 if nothing was changed.
pub(super) async fn run(settings: Settings, args: &Correct) -> anyhow::Result<ExitCode> {
    let school = one_school(&settings, args.school.as_deref())?;
    let replacement = args.replacement.as_deref().map(read).transpose()?;
    let store = open_store(&settings, Access::Write).await?;
    let people = PersonIndex::open(store.clone()).await?;
    let correction = Correction {
        reason: args.reason.clone(),
        replacement,
    };
    let (event, actor) = (&args.event, recorded::actor(args.by.as_ref(), None));
    let done = correct(
        &store,
        &settings,
        &people,
        &school,
        event,
        &correction,
        &actor,
    )
    .await;
    let corrected = match done {
        Ok(corrected) => corrected,
        Err(OperatorError::Store(error)) => return Err(error.into()),
        Err(error) => {
            if matches!(error, OperatorError::UnknownEvent) {
                known(&settings, &school)?;
            }
            output::error_line(format!("{event}: {error}"));
            for problem in problems(&error) {
                let InputProblem {
                    key, message, help, ..
                } = problem;
                let field = key.split_once("].").map_or("", |(_, field)| field);
                output::error_line(format!("  replacement.{field}: {message}; {help}"));
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let state = corrected.event.state;
    output::line(match state {
        EventState::Withdrawn => format!("{event}: withdrawn"),
        _ => format!(
            "{event}: withdrawn, and its mark is repaired; `markback events show` shows the progress"
        ),
    })?;
    if let Some(replacement) = corrected.replacement {
        output::line(format!(
            "{}: {}; it replaces {event}",
            replacement.id,
            replacement.state.as_str()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The problems of the replacement.
fn problems(error: &OperatorError) -> &[InputProblem] {
    match error {
        OperatorError::Replacement(problems) => problems,
        OperatorError::ReplacementConflict(problem) => std::slice::from_ref(problem),
        _ => &[],
    }
}

/// The event in a file. The error does not quote it.
fn read(path: &Path) -> anyhow::Result<Value> {
    let body = text_of(path)?;
    serde_json::from_str(text::without_bom(&body)).map_err(|error| {
        let why = text::json_fault(&error);
        let (line, name) = (error.line(), path.display());
        BadInput(format!(
            "{name} is not JSON: line {line}: {why}; it must contain the event that replaces the wrong one"
        ))
        .into()
    })
}
