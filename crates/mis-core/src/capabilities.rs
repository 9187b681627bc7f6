//! What an MIS can keep, and what a host requires.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an MIS keeps the mark of a session.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SessionWriteback {
    /// No marks can be written.
    #[default]
    #[serde(rename = "none")]
    No,
    /// In the AM or PM mark itself.
    Session,
    /// In the mark of the pupil's first lesson of the session.
    FirstLesson,
}

/// What can be kept, for an MIS or for one school of it.
///
/// A field that is off is a promise too: the adapter rejects what is not declared before it sends any request.
///
/// ```
/// use mis_core::{Ability, Capabilities};
///
/// const DECLARED: Capabilities = Capabilities::SESSION_MARKS
///     .with(Ability::Comment)
///     .with_comment_max(60);
/// assert!(DECLARED.has(Ability::Comment) && !DECLARED.has(Ability::MinutesLate));
/// assert!(!DECLARED.without(Ability::Comment).has(Ability::Comment));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether and where marks are written.
    pub session: SessionWriteback,
    /// A comment is kept with the mark.
    pub comment: bool,
    /// Whole minutes late are kept with the mark.
    pub minutes_late: bool,
    /// A mark may be written for a sign-out.
    pub early_leaver: bool,
    /// The longest comment kept, in characters; `None` where no limit is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment_max: Option<u16>,
    /// People and groups can be read.
    pub roster: bool,
}

impl Capabilities {
    /// People and groups can be read, and no marks are written.
    pub const READ_ONLY: Self = Self {
        session: SessionWriteback::No,
        comment: false,
        minutes_late: false,
        early_leaver: false,
        comment_max: None,
        roster: true,
    };

    /// As [`READ_ONLY`](Self::READ_ONLY), and bare AM and PM marks are written.
    pub const SESSION_MARKS: Self = Self {
        session: SessionWriteback::Session,
        ..Self::READ_ONLY
    };

    /// As [`READ_ONLY`](Self::READ_ONLY), and bare marks are written on the first lesson of a session.
    pub const FIRST_LESSON_MARKS: Self = Self {
        session: SessionWriteback::FirstLesson,
        ..Self::READ_ONLY
    };

    /// The same with an ability. [`Ability::Session`] means AM and PM marks if no place for marks is declared yet.
    #[must_use]
    pub const fn with(mut self, ability: Ability) -> Self {
        match ability {
            Ability::Session => {
                if matches!(self.session, SessionWriteback::No) {
                    self.session = SessionWriteback::Session;
                }
            }
            Ability::Comment => self.comment = true,
            Ability::MinutesLate => self.minutes_late = true,
            Ability::EarlyLeaver => self.early_leaver = true,
            Ability::Roster => self.roster = true,
        }
        self
    }

    /// The same with a limit on the length of comments, in characters.
    #[must_use]
    pub const fn with_comment_max(mut self, characters: u16) -> Self {
        self.comment_max = Some(characters);
        self
    }

    /// What both can keep. Nothing is ever widened; the smaller of two limits counts.
    ///
    /// If the two disagree on the place of the mark, no marks are written: a mark in the wrong place is a wrong mark.
    #[must_use]
    pub fn narrowed_to(self, other: Self) -> Self {
        let session = if self.session == other.session {
            self.session
        } else {
            SessionWriteback::No
        };
        let writes = session != SessionWriteback::No;
        Self {
            session,
            comment: writes && self.comment && other.comment,
            minutes_late: writes && self.minutes_late && other.minutes_late,
            early_leaver: writes && self.early_leaver && other.early_leaver,
            comment_max: match (self.comment_max, other.comment_max) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            roster: self.roster && other.roster,
        }
    }

    /// The same without an ability and all that depends on it.
    #[must_use]
    pub fn without(mut self, ability: Ability) -> Self {
        match ability {
            Ability::Session => {
                self = Self {
                    roster: self.roster,
                    ..Self::default()
                };
            }
            Ability::Comment => {
                self.comment = false;
                self.comment_max = None;
            }
            Ability::MinutesLate => self.minutes_late = false,
            Ability::EarlyLeaver => self.early_leaver = false,
            Ability::Roster => self.roster = false,
        }
        self
    }

    /// Whether these have an ability.
    pub fn has(&self, ability: Ability) -> bool {
        match ability {
            Ability::Session => self.session != SessionWriteback::No,
            Ability::Comment => self.comment,
            Ability::MinutesLate => self.minutes_late,
            Ability::EarlyLeaver => self.early_leaver,
            Ability::Roster => self.roster,
        }
    }

    /// Whether the other capabilities have everything that these have.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        let place = self.session == SessionWriteback::No || self.session == other.session;
        let length = match (self.comment_max, other.comment_max) {
            (_, None) => true,
            (None, Some(_)) => !self.comment,
            (Some(a), Some(b)) => a <= b,
        };
        place && length && Ability::ALL.iter().all(|a| !self.has(*a) || other.has(*a))
    }

    /// The required abilities that these do not have, in the order of [`Ability::ALL`].
    pub fn lacks(&self, needs: &Requirements) -> Vec<Ability> {
        needs.iter().filter(|ability| !self.has(*ability)).collect()
    }
}

/// One thing that an MIS may or may not be able to do, as named by `--needs`, in errors and in `dropped`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Ability {
    /// Marks can be written, as session marks or on the first lesson of the session.
    Session,
    /// Comments are kept with marks.
    Comment,
    /// Minutes late are kept with marks.
    MinutesLate,
    /// Marks can be written for a sign-out.
    EarlyLeaver,
    /// People and groups can be read.
    Roster,
}

impl Ability {
    /// All abilities, in the order of the capability table.
    pub const ALL: [Self; 5] = [
        Self::Session,
        Self::Comment,
        Self::MinutesLate,
        Self::EarlyLeaver,
        Self::Roster,
    ];

    /// The name used in settings, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Ability {
    type Err = UnknownAbility;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.trim().replace('-', "_").to_lowercase();
        Self::ALL
            .into_iter()
            .find(|ability| ability.as_str() == plain)
            .ok_or_else(|| UnknownAbility {
                text: text.trim().to_owned(),
            })
    }
}

/// The error for a text that is not an ability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an ability of an MIS; the abilities are session, comment, minutes_late, early_leaver and roster"
)]
pub struct UnknownAbility {
    text: String,
}

/// The abilities that a host requires of an MIS. Every MIS fits empty requirements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    abilities: Vec<Ability>,
}

impl Requirements {
    /// The abilities in the order of [`Ability::ALL`], each once.
    pub fn iter(&self) -> impl Iterator<Item = Ability> + '_ {
        self.abilities.iter().copied()
    }
}

impl FromIterator<Ability> for Requirements {
    fn from_iter<I: IntoIterator<Item = Ability>>(abilities: I) -> Self {
        let mut abilities: Vec<_> = abilities.into_iter().collect();
        abilities.sort_unstable();
        abilities.dedup();
        Self { abilities }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_capabilities() -> impl Strategy<Value = Capabilities> {
        (0..3u8, any::<[bool; 4]>(), proptest::option::of(1..400u16)).prop_map(
            |(session, flags, comment_max)| {
                let session = [
                    SessionWriteback::No,
                    SessionWriteback::Session,
                    SessionWriteback::FirstLesson,
                ][usize::from(session)];
                Capabilities {
                    session,
                    comment: flags[0],
                    minutes_late: flags[1],
                    early_leaver: flags[2],
                    comment_max,
                    roster: flags[3],
                }
            },
        )
    }

    proptest! {
        #[test]
        fn narrowing_never_widens(a in any_capabilities(), b in any_capabilities()) {
            prop_assert!(a.narrowed_to(b).is_subset_of(&a));
            prop_assert!(a.narrowed_to(b).is_subset_of(&b));
        }

        #[test]
        fn without_removes_abilities(a in any_capabilities()) {
            for ability in Ability::ALL {
                prop_assert!(!a.without(ability).has(ability));
                prop_assert!(a.without(ability).is_subset_of(&a));
            }
        }
    }

    #[test]
    fn abilities_are_parsed_from_their_text() {
        for ability in Ability::ALL {
            assert_eq!(ability.as_str().parse::<Ability>(), Ok(ability));
        }
        assert_eq!("Minutes-Late".parse::<Ability>(), Ok(Ability::MinutesLate));
        assert!(
            "lateness"
                .parse::<Ability>()
                .unwrap_err()
                .to_string()
                .contains("lateness")
        );
    }
}
