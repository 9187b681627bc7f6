//! `markback events replay-decision`: decides an event again from the input that was kept with its decision.

use std::{fmt::Write as _, process::ExitCode};

use markback::{
    audit_log::AuditAction,
    operator::OperatorError,
    replay_decision::{DecisionReplay, EventReplay, replay_decision},
    settings::Settings,
};
use markback_console::output::{self, TextOrJson};
use serde_json::Value;

use super::{Show, known, one_school, show::time};
use crate::commands::{recorded, registry};

/// Replays the decisions about one event. The exit code is 1 if one of them differs, or if there is none to replay.
pub(super) async fn run(settings: Settings, args: &Show) -> anyhow::Result<ExitCode> {
    let school = one_school(&settings, args.school.as_deref())?;
    let store = recorded::open_to_look(&settings).await?;
    let Some(replay) = replay_decision(&store, &registry()?, &school, &args.event).await? else {
        known(&settings, &school)?;
        anyhow::bail!("{}", OperatorError::UnknownEvent);
    };
    let look = recorded::entry(AuditAction::DecisionReplayed).school(&school);
    store.record(&[look.subject(&args.event)]).await?;
    match args.format {
        TextOrJson::Json => output::json(&replay)?,
        TextOrJson::Text => output::line(text(&replay))?,
    }
    Ok(if replay.same {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(replay: &EventReplay) -> String {
    let EventReplay { school, event, .. } = replay;
    if replay.decisions.is_empty() {
        return format!(
            "{event} at school {school}: there is nothing to replay; it is not decided yet, or a version that kept no input \
             decided it"
        );
    }
    let mut text = format!("{event} at school {school}");
    for decision in &replay.decisions {
        let _ = write!(text, "\n{}", one(decision));
    }
    text
}

fn one(decision: &DecisionReplay) -> String {
    let settings = match &decision.settings {
        Some(version) => format!(", by settings {version}"),
        None => String::new(),
    };
    let result = match (&decision.problem, decision.same) {
        (Some(why), _) => format!("cannot be replayed: {why}"),
        (None, true) => "the same".to_owned(),
        (None, false) => "DIFFERENT".to_owned(),
    };
    let mut text = format!(
        "{} of {}{settings}: {result}\n",
        decision.look,
        time(Some(decision.decided_at))
    );
    if let Some(adapter) = &decision.adapter {
        let _ = writeln!(text, "  note: {adapter}");
    }
    let replayed = decision
        .replayed
        .as_ref()
        .and_then(|replayed| serde_json::to_value(replayed).ok());
    if decision.same {
        steps(&mut text, replayed.as_ref());
        return text.trim_end().to_owned();
    }
    text.push_str("decided then:\n");
    match &decision.stored {
        Some(stored) => steps(&mut text, Some(stored)),
        None => {
            text.push_str("  the steps are not kept, because a later decision took their place\n")
        }
    }
    if let Some(replayed) = &replayed {
        text.push_str("decided now:\n");
        steps(&mut text, Some(replayed));
        if decision.stored.as_ref() == Some(replayed) {
            text.push_str(
                "the steps are the same; the difference is in what the decision recorded beside them: the arrival, the events \
                 that stand, the rule or the code's id\n",
            );
        }
    }
    text.trim_end().to_owned()
}

/// The steps of a decision, of which the last is its outcome.
fn steps(text: &mut String, decision: Option<&Value>) {
    let steps = decision.and_then(|decision| decision.get("steps")?.as_array());
    for (number, step) in (1..).zip(steps.into_iter().flatten()) {
        let _ = writeln!(text, "  {number}. {}", step.as_str().unwrap_or("?"));
    }
}
