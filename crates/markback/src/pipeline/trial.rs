//! Marks that are refused with what goes with their code: the comment is not worth the mark, so it goes without, then
//! without the minutes late, and what shows to be the cause is remembered for the school.

use chrono::TimeDelta;
use mis_core::{Ability, Blame, Mark};
use serde::{Deserialize, Serialize};

use super::job::SendJob;
use crate::store::Limit;

/// A mark that goes without something, to see whether that was the cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// The adapter's id of the MIS that refused it.
    mis: String,
    /// What is shown if it is taken now.
    limit: Limit,
    /// Whether the request was refused, so that its being accepted shows it; else its being confirmed does.
    pub(super) at_once: bool,
    /// Whether the refusal's words named it.
    named: bool,
}

impl Trial {
    /// The limit that a mark has shown by going through, with its MIS and for how long it is believed. After that it is
    /// tried again: an MIS changes, and a refusal without words may have had another cause that was gone by then.
    pub(super) fn shown(&self) -> (String, Limit, TimeDelta) {
        let believed = match (self.named, self.at_once) {
            (true, _) => TimeDelta::days(30),
            (false, true) => TimeDelta::days(7),
            (false, false) => TimeDelta::days(1),
        };
        (self.mis.clone(), self.limit, believed)
    }
}

/// The next try of a refused mark, without its comment or without its minutes late; `None` where neither is left, or where
/// only words would show the cause and there are none.
pub(super) fn without(
    send: &SendJob,
    mis: &str,
    said: Option<&str>,
    at_once: bool,
    words_only: bool,
) -> Option<SendJob> {
    let mark = &send.mark;
    let blame = Blame::of(said.unwrap_or_default(), mark.comment.as_deref());
    let minutes_alone = blame.minutes_late && !blame.comment;
    let (ability, named) = match (&mark.comment, mark.minutes_late) {
        (_, Some(_)) if minutes_alone => (Ability::MinutesLate, true),
        (Some(_), _) => (Ability::Comment, blame.comment),
        (None, Some(_)) => (Ability::MinutesLate, blame.minutes_late),
        (None, None) => return None,
    };
    if words_only && !named {
        return None;
    }
    let limit = match ability {
        Ability::MinutesLate => Limit::NoMinutesLate,
        _ => comment_limit(mark, blame),
    };
    let mut next = send.clone();
    next.leave_out(ability);
    next.trial = Some(Trial {
        mis: mis.to_owned(),
        limit,
        at_once,
        named,
    });
    Some(next)
}

/// What a refused comment shows of others. Without words about it, only that one so long is too long.
fn comment_limit(mark: &Mark, blame: Blame) -> Limit {
    let length = mark.comment.as_deref().unwrap_or_default().chars().count();
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    match (blame.comment_max, length) {
        (Some(max), length) if max < length => Limit::CommentMax(max),
        (_, 0 | 1) => Limit::NoComment,
        (_, _) if blame.comment && !blame.too_long => Limit::NoComment,
        (_, length) => Limit::CommentMax(length - 1),
    }
}

/// "its comment and its minutes late".
pub(super) fn left_out(send: &SendJob) -> String {
    let words: Vec<_> = send
        .left_out
        .iter()
        .map(|ability| match ability {
            Ability::Comment => "its comment",
            Ability::MinutesLate => "its minutes late",
            other => other.as_str(),
        })
        .collect();
    words.join(" and ")
}
