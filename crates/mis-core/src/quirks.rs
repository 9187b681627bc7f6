//! The behaviour of an MIS with single marks that its capabilities do not cover: a comment that it cuts, a code that it
//! rejects.
//!
//! Quirks are data of the [`Descriptor`](crate::Descriptor). The rules, `explain` and the adapters that send marks use
//! the same two functions, so a rejection is known before anything is sent, with the same explanation everywhere.

use std::{borrow::Cow, fmt};

use crate::Mark;

/// The quirks of one MIS. Both functions depend on the mark alone: no clock, no requests.
#[derive(Clone, Copy)]
pub struct Quirks {
    refuses: fn(&Mark) -> Option<Cow<'static, str>>,
    adjust: fn(&mut Mark) -> Option<Cow<'static, str>>,
}

impl Quirks {
    /// No quirks: the MIS stores each mark according to its capabilities.
    pub const NONE: Self = Self {
        refuses: |_| None,
        adjust: |_| None,
    };

    /// Sets the function that returns why this MIS does not accept a mark, as text for people without the comment;
    /// `None` if it accepts the mark.
    #[must_use]
    pub const fn refusing(mut self, refuses: fn(&Mark) -> Option<Cow<'static, str>>) -> Self {
        self.refuses = refuses;
        self
    }

    /// Sets the function that changes a mark to what this MIS stores. It returns a description of the change without
    /// the comment's text, and `None` if there is none. It must not change a mark that it has already adjusted.
    #[must_use]
    pub const fn adjusting(mut self, adjust: fn(&mut Mark) -> Option<Cow<'static, str>>) -> Self {
        self.adjust = adjust;
        self
    }

    /// The mark as this MIS keeps it, with a note of any change.
    ///
    /// # Errors
    /// Returns the reason if the MIS does not take the mark.
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
}

impl Default for Quirks {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Debug for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quirks").finish_non_exhaustive()
    }
}

/// Cuts the comment to this many characters, for an MIS that stores no more and whose schools prefer a part of the
/// comment to none. For use in [`Quirks::adjusting`].
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

    const QUIRKS: Quirks = Quirks::NONE
        .refusing(|mark| (mark.code.as_str() == "Z").then(|| "Z is for the office alone".into()))
        .adjusting(|mark| cut_comment(mark, 5));

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
    fn a_rejected_mark_has_a_reason() {
        assert_eq!(
            QUIRKS.apply(mark("Z", "")).unwrap_err(),
            "Z is for the office alone"
        );
        assert!(Quirks::NONE.apply(mark("Z", "")).is_ok());
    }
}
