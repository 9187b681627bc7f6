//! Refused marks that go again: as they are, or without what they may have been refused for.

use chrono::{DateTime, Utc};
use outbox::{NewJob, Tx};
use serde_json::{Value, json};

use super::{
    Pipeline,
    job::SendJob,
    records::{audit_of, plan},
    trial::left_out,
};
use crate::{
    ledger::Change,
    schools::token_key,
    settings::School,
    store::{EventState, EventUpdate, LedgerKey, NewAudit},
};

/// A refused mark that is to go again, unless a newer one has taken its place by then.
pub(super) struct Again {
    key: LedgerKey,
    send: SendJob,
    job: NewJob,
    why: String,
}

impl Again {
    /// As it is, not before some time.
    pub(super) fn as_it_is(
        school: &School,
        send: SendJob,
        from: DateTime<Utc>,
        why: String,
    ) -> Self {
        Self::new(school, send, Some(from), why)
    }

    /// Without what it may have been refused for.
    pub(super) fn without(school: &School, send: SendJob, from: Option<DateTime<Utc>>) -> Self {
        let why = format!(
            "the MIS refused it; it goes again without {}",
            left_out(&send)
        );
        Self::new(school, send, from, why)
    }

    /// What the ledger is asked before it goes: whether no newer mark has taken its place.
    pub(super) fn change(&self) -> (LedgerKey, Change) {
        let event = self.send.event.id.clone();
        (self.key.clone(), Change::SendAgain(event))
    }

    fn new(school: &School, send: SendJob, from: Option<DateTime<Utc>>, why: String) -> Self {
        let id = school.id.as_str();
        let job = send.new_job(id, &token_key(school));
        Self {
            key: send.ledger_key(id),
            job: match from {
                Some(from) => job.not_before(from),
                None => job,
            },
            send,
            why,
        }
    }
}

/// The line of the history about a refusal after which the mark goes again without something. The comment is not in it, for
/// it may be what the mark goes without; Wonde's words may repeat it.
pub(super) fn refused_and_goes_again(
    school: &str,
    refused: &SendJob,
    next: &SendJob,
    why: &str,
    mut more: Value,
) -> NewAudit {
    let comment = refused.mark.comment.as_deref().unwrap_or_default().trim();
    more["why"] = match comment {
        "" => why.into(),
        comment => why.replace(comment, "[the comment]").into(),
    };
    more["comment"] = Value::Null;
    more["goes_again"] = json!(format!("without {}", left_out(next)));
    audit_of("refused", school, refused, more)
}

impl Pipeline {
    /// Puts refused marks in line once more, and other jobs with them. One whose place in the ledger a newer mark has taken
    /// would overtake that: it makes way; `in_place` is the ledger's answer to each [`Again::change`]. Nobody can plan a newer one while this decides, for the ledger's rows are locked
    /// until the commit. Answers what became of their events, to be counted after the commit.
    pub(super) async fn send_again(
        &self,
        tx: &mut Tx,
        again: &[Again],
        in_place: &[bool],
        others: &[NewJob],
    ) -> outbox::Result<Vec<EventUpdate>> {
        let mut jobs = others.to_vec();
        let (mut updates, mut plans) = (Vec::with_capacity(again.len()), Vec::new());
        for (one, in_place) in again.iter().zip(in_place) {
            let event = &one.send.event.id;
            let update = EventUpdate::of(&one.key.school, event);
            if *in_place {
                jobs.push(one.job.clone());
                updates.push(update.state(EventState::Planned).waiting(&one.why));
                if one.send.trial.is_some() {
                    plans.push((one.key.clone(), plan(&one.send)));
                }
            } else {
                updates.push(update.state(EventState::Superseded).outcome(
                    "it was refused, and a newer mark for the same pupil, date and session has taken its place",
                ));
            }
        }
        // The ledger has a mark as it is sent.
        self.store.change_ledger(tx, &plans).await?;
        self.store.outbox().enqueue(tx, &jobs).await?;
        self.store.update_events(tx, &updates).await?;
        Ok(updates)
    }
}
