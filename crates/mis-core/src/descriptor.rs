//! Descriptions of MISs: the one place for a name, its capabilities and the source of both.

use std::{fmt, sync::Arc};

use crate::{
    Ability, Capabilities, ConnectContext, Error, EventKind, Mark, Mis, MisAdapter, Quirks, Result,
    SessionWriteback, connect::Connecting, error::ErrorKind,
};

/// An MIS, described once. Tables, documentation and the registry are made from descriptors.
///
/// ```
/// use mis_core::{Ability, Capabilities, Descriptor, Error, ErrorKind};
///
/// static SLATE: Descriptor = Descriptor::new("slate", "Slate", |context| {
///     Box::pin(async move {
///         Err(Error::new(ErrorKind::Config, format!("school {} is closed", context.school)))
///     })
/// })
/// .with_aliases(&["Slate Online"])
/// .with_capabilities(Capabilities::SESSION_MARKS.with(Ability::Comment).with_comment_max(60))
/// .with_source("Slate's manual", "2026-11-23");
///
/// assert!(SLATE.answers_to("slate-online"));
/// assert!(SLATE.capabilities.has(Ability::Comment));
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Descriptor {
    /// The adapter's id: lower-case letters, digits and single hyphens between them. In this workspace it is the name
    /// of the adapter's folder.
    pub id: &'static str,
    /// The name people know the MIS by.
    pub name: &'static str,
    /// Other names of the MIS. Names are compared without regard to case, blanks and punctuation; the id and the name
    /// need not be repeated.
    pub aliases: &'static [&'static str],
    /// What this MIS can keep at a school that grants everything.
    pub capabilities: Capabilities,
    /// The quirks of this MIS: how it treats single marks beyond its capabilities.
    pub quirks: Quirks,
    /// What a person should know before relying on it.
    pub notes: &'static str,
    /// Where the claims come from.
    pub source: Source,
    pub(crate) connect: fn(ConnectContext) -> Connecting,
}

/// The origin of a descriptor's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The page or person that makes the claims.
    pub what: &'static str,
    /// When it was looked up, as `YYYY-MM-DD`.
    pub date: &'static str,
}

impl Descriptor {
    /// An MIS whose people and groups can be read, and the function that connects to one school of it.
    pub const fn new(
        id: &'static str,
        name: &'static str,
        connect: fn(ConnectContext) -> Connecting,
    ) -> Self {
        Self {
            id,
            name,
            aliases: &[],
            capabilities: Capabilities::READ_ONLY,
            quirks: Quirks::NONE,
            notes: "",
            source: Source { what: "", date: "" },
            connect,
        }
    }

    /// Sets the other names of the MIS.
    #[must_use]
    pub const fn with_aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets what the MIS can keep.
    #[must_use]
    pub const fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Sets what the MIS does with single marks.
    #[must_use]
    pub const fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Sets what a person should know.
    #[must_use]
    pub const fn with_notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// Sets where the claims come from, and when that was looked up.
    #[must_use]
    pub const fn with_source(mut self, what: &'static str, date: &'static str) -> Self {
        self.source = Source { what, date };
        self
    }

    /// Sets the function that connects to one school, for an adapter that wraps another one.
    #[must_use]
    pub const fn with_connect(mut self, connect: fn(ConnectContext) -> Connecting) -> Self {
        self.connect = connect;
        self
    }

    /// Connects to one school. The answer is behind the guard.
    ///
    /// # Errors
    /// Returns the adapter's error if it cannot connect.
    pub async fn connect(&self, context: ConnectContext) -> Result<Mis> {
        Ok(Mis::new(self.connect_unguarded(context).await?))
    }

    /// Connects to one school without the guard. Hosts use [`connect`](Self::connect); this is for adapters that wrap
    /// another one and for tests.
    ///
    /// # Errors
    /// Returns the adapter's error if it cannot connect.
    pub async fn connect_unguarded(&self, context: ConnectContext) -> Result<Arc<dyn MisAdapter>> {
        (self.connect)(context).await
    }

    /// All names of the MIS.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.id, self.name]
            .into_iter()
            .chain(self.aliases.iter().copied())
    }

    /// Whether a name means this MIS.
    pub fn answers_to(&self, name: &str) -> bool {
        let plain = plain_name(name);
        !plain.is_empty() && self.names().any(|own| plain_name(own) == plain)
    }

    /// Rejects marks that ask for more than these capabilities. The guard calls this, and an adapter calls it first in
    /// [`MisAdapter::write`](crate::MisAdapter::write), so that it is no weaker without the guard.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unsupported`] or [`ErrorKind::InvalidMark`] for the first mark that does not fit.
    pub fn check_marks(&self, capabilities: Capabilities, marks: &[Mark]) -> Result<()> {
        if capabilities.session == SessionWriteback::No {
            return Err(Error::unsupported(self.name, Ability::Session));
        }
        for mark in marks {
            let asked = [
                (Ability::Comment, mark.comment.is_some()),
                (Ability::MinutesLate, mark.minutes_late.is_some()),
                (Ability::EarlyLeaver, mark.cause == EventKind::SignOut),
            ];
            for (ability, asked) in asked {
                if asked && !capabilities.has(ability) {
                    return Err(Error::unsupported(self.name, ability));
                }
            }
            if let (Some(comment), Some(max)) = (&mark.comment, capabilities.comment_max)
                && comment.chars().count() > usize::from(max)
            {
                return Err(Error::new(
                    ErrorKind::InvalidMark,
                    format!(
                        "the comment for student {} is longer than the {max} characters that {} keeps; shorten it",
                        mark.student, self.name
                    ),
                ));
            }
            if mark.minutes_late == Some(0) {
                return Err(Error::new(
                    ErrorKind::InvalidMark,
                    format!(
                        "the mark for student {} says 0 minutes late; leave the minutes out",
                        mark.student
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The mark as the MIS keeps it.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidMark`] if the MIS does not take the mark.
    pub fn as_kept(&self, mark: &Mark) -> Result<Mark> {
        match self.quirks.apply(mark.clone()) {
            Ok((kept, _)) => Ok(kept),
            Err(why) => Err(self.refusal(mark, &why)),
        }
    }

    fn refusal(&self, mark: &Mark, why: &str) -> Error {
        Error::new(
            ErrorKind::InvalidMark,
            format!(
                "{} does not take the mark for student {}: {why}",
                self.name, mark.student
            ),
        )
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

/// A name without case, blanks and punctuation.
pub(crate) fn plain_name(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;

    #[test]
    fn quirks_reject_or_adjust_marks() {
        let descriptor = Descriptor::new("x", "X", |_| unreachable_connect()).with_quirks(
            Quirks::NONE
                .refusing(|mark| {
                    (mark.code.as_str() == "Z").then(|| "Z is for the office alone".into())
                })
                .adjusting(|mark| crate::cut_comment(mark, 3)),
        );
        let [late, office] = ["L", "Z"].map(|code| Mark {
            student: "A1".into(),
            date: chrono::NaiveDate::default(),
            session: Session::Am,
            code: code.into(),
            cause: EventKind::SignIn,
            comment: Some("SECRET".to_owned()),
            minutes_late: None,
            employee: None,
        });
        assert_eq!(
            descriptor.as_kept(&late).unwrap().comment.as_deref(),
            Some("SEC")
        );
        let error = descriptor.as_kept(&office).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::InvalidMark);
        assert!(
            text.contains("Z is for the office alone") && !text.contains("SEC"),
            "{text}"
        );
    }

    fn unreachable_connect() -> Connecting {
        Box::pin(async { Err(Error::new(ErrorKind::Config, "not in this test")) })
    }
}
