//! What an MIS does with single marks that no capability says: a comment it cuts, a code it takes from nobody.
//!
//! It is data of the [`Descriptor`](crate::Descriptor), and asked wherever a mark is made or sent: by the rules, by
//! whoever explains a decision, and by the strategies of [`shapes`](crate::shapes). So what would be refused is said
//! before anything is sent, and in the same words everywhere.

use std::borrow::Cow;

use crate::{Error, Mark, error::ErrorKind};

/// The quirks of one MIS. Both functions look at the mark alone: no clock, no requests.
#[derive(Clone, Copy, Debug)]
pub struct Quirks {
    /// Why this MIS does not take the mark, in words for a person and without the comment's text; `None` takes it.
    pub refuses: fn(&Mark) -> Option<Cow<'static, str>>,
    /// Makes of the mark what this MIS keeps of it, and says what it changed, without the comment's text; `None` when
    /// nothing. Of a mark that was adjusted before it changes nothing more.
    pub adjust: fn(&mut Mark) -> Option<Cow<'static, str>>,
}

impl Quirks {
    /// An MIS that takes and keeps each mark as its capabilities say.
    pub const NONE: Self = Self {
        refuses: |_| None,
        adjust: |_| None,
    };

    /// The mark as this MIS keeps it, with what was changed.
    ///
    /// # Errors
    /// Why it does not take the mark.
    pub fn apply(
        &self,
        mut mark: Mark,
    ) -> Result<(Mark, Option<Cow<'static, str>>), Cow<'static, str>> {
        let changed = (self.adjust)(&mut mark);
        match (self.refuses)(&mark) {
            Some(why) => Err(why),
            None => Ok((mark, changed)),
        }
    }

    /// The error for a mark that is refused.
    pub(crate) fn refusal(name: &str, mark: &Mark, why: &str) -> Error {
        Error::new(
            ErrorKind::InvalidMark,
            format!(
                "{name} does not take the mark for student {}: {why}",
                mark.student
            ),
        )
    }
}

impl Default for Quirks {
    fn default() -> Self {
        Self::NONE
    }
}

/// Cuts the comment at so many characters, for an MIS that keeps no more, and whose schools would rather have a part than
/// nothing. For an [`adjust`](Quirks::adjust).
pub fn cut_comment(mark: &mut Mark, max: usize) -> Option<Cow<'static, str>> {
    let comment = mark.comment.as_mut()?;
    let (end, _) = comment.char_indices().nth(max)?;
    comment.truncate(end);
    comment.truncate(comment.trim_end().len());
    Some(format!("comment cut at {max} characters, for the MIS keeps no more").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventKind, Session};

    const QUIRKS: Quirks = Quirks {
        refuses: |mark| (mark.code.as_str() == "Z").then(|| "Z is for the office alone".into()),
        adjust: |mark| cut_comment(mark, 5),
    };

    fn mark(code: &str, comment: &str) -> Mark {
        Mark {
            student: "A1".into(),
            date: chrono::NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
            session: Session::Am,
            code: code.into(),
            cause: EventKind::SignIn,
            comment: Some(comment.to_owned()),
            minutes_late: None,
            employee: None,
        }
    }

    #[test]
    fn a_comment_is_cut_between_characters_and_only_once() {
        let (cut, changed) = QUIRKS.apply(mark("L", "Žluťoučký")).unwrap();
        assert_eq!(cut.comment.as_deref(), Some("Žluťo"));
        assert!(changed.unwrap().contains("5 characters"));
        let (same, changed) = QUIRKS.apply(cut.clone()).unwrap();
        assert_eq!((same, changed), (cut, None));
    }

    #[test]
    fn what_is_refused_is_told_why() {
        assert_eq!(
            QUIRKS.apply(mark("Z", "")).unwrap_err(),
            "Z is for the office alone"
        );
        assert!(Quirks::NONE.apply(mark("Z", "")).is_ok());
    }
}
