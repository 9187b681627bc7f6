//! The users of the pages: who may sign in, and what each may do at which school.
//!
//! A user has one [`Role`], at all schools or at some. [`User::may`] is the only check of what a user may do; what a user
//! may not see does not exist for them. Passwords are kept as hashes of Argon2id. [`Users`] signs users in and slows those
//! who guess; [`sessions`] keeps who is signed in.

mod password;
pub mod sessions;
mod sign_in;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

pub use self::sign_in::{Attempt, ChangePasswordError, SignInError, SignedIn, Users};
use crate::{
    keys::{Grant, Scope},
    operator::Actor,
    settings::{School, Settings},
    store::Store,
};

/// The longest name, for signing in and shown, in characters.
const NAME_MAX: usize = 100;
/// The shortest password in characters.
pub const PASSWORD_MIN: usize = 12;
/// The longest password in bytes. A longer one would only take time to hash.
pub const PASSWORD_MAX: usize = 512;

/// What a user may do. Each role includes those before it.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// See the day, people, groups and rules.
    Look,
    /// Decide about events that need a person, correct events, and sign people in and out by hand.
    Tend,
    /// Change rules, and start syncs.
    Set,
    /// Everything, with users, keys, webhooks, schools and the audit log.
    Admin,
}

impl Role {
    /// All roles, from the least.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Its name, such as `tend`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What it lets a user do, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Look => "see the day, people, groups and rules",
            Self::Tend => "retry, discard, release and correct; sign people in and out",
            Self::Set => "change rules and start syncs",
            Self::Admin => "users, keys, webhooks, schools and the audit log",
        }
    }

    /// The scopes of an API key that may do the same.
    fn scopes(self) -> BTreeSet<Scope> {
        match self {
            Self::Look => BTreeSet::from([Scope::EventsRead, Scope::GroupsRead]),
            Self::Tend => {
                BTreeSet::from([Scope::EventsRead, Scope::GroupsRead, Scope::EventsWrite])
            }
            Self::Set => BTreeSet::from([
                Scope::EventsRead,
                Scope::GroupsRead,
                Scope::EventsWrite,
                Scope::SettingsWrite,
            ]),
            Self::Admin => BTreeSet::from([Scope::Admin]),
        }
    }
}

/// What a page lets users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
#[non_exhaustive]
pub enum Task {
    /// See a school's day, people, events, groups, syncs and rules.
    See,
    /// Retry, discard, release, drop and correct events.
    Decide,
    /// Sign people in and out by hand.
    SignPeopleIn,
    /// Draft, activate and undo settings.
    ChangeSettings,
    /// Start, accept, pause and resume syncs.
    Sync,
    /// Add and remove schools, and set their tokens.
    ManageSchools,
    /// List, make and revoke keys of the API.
    ManageKeys,
    /// List, add, change and remove endpoints for webhooks.
    ManageWebhooks,
    /// List, add, change and remove users.
    ManageUsers,
    /// See the audit log.
    ReadAudit,
}

impl Task {
    /// All tasks.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The least role that may do it.
    pub fn role(self) -> Role {
        match self {
            Self::See => Role::Look,
            Self::Decide | Self::SignPeopleIn => Role::Tend,
            Self::ChangeSettings | Self::Sync => Role::Set,
            Self::ManageSchools
            | Self::ManageKeys
            | Self::ManageWebhooks
            | Self::ManageUsers
            | Self::ReadAudit => Role::Admin,
        }
    }
}

/// Why a user may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// For this user there is no such school. The answer is that of a school that does not exist.
    #[error("there is no such school")]
    Unseen,
    /// The user sees the school, but has a lesser role.
    #[error("this needs the role {0}; ask somebody with the role admin")]
    Role(Role),
}

/// A user. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct User {
    /// The name for signing in, in small letters.
    pub name: String,
    /// The name that pages show.
    pub shown: String,
    /// What the user may do.
    pub role: Role,
    /// The schools that exist for the user; `None` for all, also those that come later.
    #[schemars(with = "Option<Vec<String>>")]
    pub schools: Option<BTreeSet<SchoolId>>,
    /// When the user was added.
    pub created_at: Option<DateTime<Utc>>,
    /// By whom: a user's name or a system user.
    pub created_by: Option<String>,
    /// When the user last signed in.
    pub signed_in_at: Option<DateTime<Utc>>,
    /// When the user was disabled.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl User {
    /// What the user may do and see, as for an API key.
    pub fn grant(&self) -> Grant {
        Grant::new(self.role.scopes(), self.schools.clone())
    }

    /// Whether the user may do this at this school. Whether the settings have the school is not asked: see [`school_for`].
    ///
    /// # Errors
    /// Returns [`Denied::Unseen`] before [`Denied::Role`], so that a lesser role learns nothing about other schools.
    pub fn may(&self, task: Task, school: &SchoolId) -> Result<(), Denied> {
        if !self.sees(school) {
            return Err(Denied::Unseen);
        }
        self.may_somewhere(task)
    }

    /// Whether the user may do this at the schools that exist for them.
    ///
    /// # Errors
    /// Returns [`Denied::Role`] if not.
    pub fn may_somewhere(&self, task: Task) -> Result<(), Denied> {
        if self.role < task.role() {
            return Err(Denied::Role(task.role()));
        }
        Ok(())
    }

    /// Whether the school exists for the user.
    pub fn sees(&self, school: &SchoolId) -> bool {
        self.schools
            .as_ref()
            .is_none_or(|schools| schools.contains(school))
    }

    /// The schools of these settings that exist for the user.
    pub fn schools_of<'s>(&'s self, settings: &'s Settings) -> impl Iterator<Item = &'s School> {
        let schools = settings.schools.iter();
        schools.filter(|school| self.sees(&school.id))
    }

    /// `active` or `disabled`.
    pub fn state(&self) -> &'static str {
        match self.disabled_at {
            Some(_) => "disabled",
            None => "active",
        }
    }

    /// The user as the author of a change on the pages, with their reason.
    pub fn actor(&self, note: Option<String>) -> Actor {
        Actor::of_user(&self.name, note)
    }
}

/// The school of these settings at which a user wants to do something. A school that the user does not see and one that
/// does not exist are the same.
///
/// # Errors
/// Returns an error if there is none, or if the user's role is too low.
pub fn school_for<'s>(
    user: &User,
    task: Task,
    settings: &'s Settings,
    school: &SchoolId,
) -> Result<&'s School, Denied> {
    // In this order, so that both take the same time.
    let found = settings.school(school);
    user.may(task, school).and(found.ok_or(Denied::Unseen))
}

/// A user to add.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name for signing in: letters, digits and `.`, `-`, `_`, `+`, `@`. Capital letters become small.
    pub name: String,
    /// The name that pages show; empty for the name for signing in.
    pub shown: String,
    /// What the user may do.
    pub role: Role,
    /// The schools that exist for the user; `None` for all, also those that come later.
    pub schools: Option<BTreeSet<SchoolId>>,
}

/// Why a user cannot be added or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// What was asked for is not possible.
    #[error("`{field}`: {message}; {help}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// What is wrong.
        message: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// There is no such user.
    #[error("there is no user with this name; `markback users ls` lists them")]
    Unknown,
    /// Passwords cannot be hashed at the moment.
    #[error("too many passwords are being checked at the moment; try again in a few seconds")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

impl NewUser {
    /// Brings the names into their form and checks them.
    fn checked(&self) -> Result<Self, UserError> {
        let name = name_of(&self.name).ok_or(UserError::Invalid {
            field: "name",
            message: "this is no name for signing in",
            help: "write 1 to 100 letters, digits and . - _ + @, without spaces or accents",
        })?;
        let shown = match self.shown.trim() {
            "" => name.clone(),
            shown => shown.to_owned(),
        };
        if shown.chars().count() > NAME_MAX || shown.chars().any(char::is_control) {
            return Err(UserError::Invalid {
                field: "shown",
                message: "the name that pages show is too long or has control characters",
                help: "write it on one line, with at most 100 characters",
            });
        }
        check_schools(self.schools.as_ref())?;
        Ok(Self {
            name,
            shown,
            ..self.clone()
        })
    }
}

/// A name for signing in, in small letters; `None` if it cannot be one.
pub fn name_of(text: &str) -> Option<String> {
    let name = text.trim().to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+@".contains(&byte);
    let fits = (1..=NAME_MAX).contains(&name.len());
    // `.` and `..` would be no part of a page's address.
    let begins_well = name.bytes().any(|byte| byte.is_ascii_alphanumeric());
    (fits && begins_well && name.bytes().all(plain)).then_some(name)
}

fn check_schools(schools: Option<&BTreeSet<SchoolId>>) -> Result<(), UserError> {
    if schools.is_some_and(BTreeSet::is_empty) {
        return Err(UserError::Invalid {
            field: "schools",
            message: "the list is empty, so no school would exist for the user",
            help: "name at least one school, or leave the list out for all schools",
        });
    }
    Ok(())
}

fn check_password(name: &str, password: &SecretString) -> Result<(), UserError> {
    let text = password.expose_secret();
    let invalid = |message, help| {
        Err(UserError::Invalid {
            field: "password",
            message,
            help,
        })
    };
    if text.chars().count() < PASSWORD_MIN {
        return invalid(
            "it is shorter than 12 characters",
            "use several words that do not belong together",
        );
    }
    if text.len() > PASSWORD_MAX {
        return invalid("it is longer than 512 bytes", "use a shorter one");
    }
    let letters: BTreeSet<char> = text.chars().collect();
    if letters.len() < 5 {
        return invalid(
            "it consists of very few different characters",
            "use several words that do not belong together",
        );
    }
    let small = text.to_lowercase();
    if small.contains(name) && small.len() < name.len() + PASSWORD_MIN {
        return invalid(
            "it is little more than the user's name",
            "use several words that do not belong together",
        );
    }
    Ok(())
}

/// Adds a user.
///
/// # Errors
/// Returns an error if the name is taken or what is asked for is not possible, or if the database query fails.
pub async fn add(
    store: &Store,
    new: &NewUser,
    password: &SecretString,
    actor: &Actor,
) -> Result<User, UserError> {
    let new = new.checked()?;
    check_password(&new.name, password)?;
    // Before the hash, which takes long.
    let taken = || UserError::Invalid {
        field: "name",
        message: "there is a user with this name already",
        help: "choose another, or change that user",
    };
    if store.user(&new.name).await?.is_some() {
        return Err(taken());
    }
    let hash = password::hash(password.clone()).await?;
    let added = store.add_user(&new, &hash, actor).await?;
    added.ok_or_else(taken)
}

/// Sets a user's password. All sessions of the user end.
///
/// # Errors
/// Returns an error if there is no such user, if the password can be guessed, or if the database query fails.
pub async fn set_password(
    store: &Store,
    name: &str,
    password: &SecretString,
    actor: &Actor,
) -> Result<User, UserError> {
    let name = name_of(name).ok_or(UserError::Unknown)?;
    check_password(&name, password)?;
    let hash = password::hash(password.clone()).await?;
    let changed = store.set_user_password(&name, &hash, actor).await?;
    changed.ok_or(UserError::Unknown)
}

/// Sets what a user may do, and where; `schools` of `None` for all. It holds from the user's next request on.
///
/// # Errors
/// Returns an error if there is no such user, if the list of schools is empty, or if the database query fails.
pub async fn set_role(
    store: &Store,
    name: &str,
    role: Role,
    schools: Option<&BTreeSet<SchoolId>>,
    actor: &Actor,
) -> Result<User, UserError> {
    check_schools(schools)?;
    let name = name_of(name).ok_or(UserError::Unknown)?;
    let changed = store.set_user_role(&name, role, schools, actor).await?;
    changed.ok_or(UserError::Unknown)
}

/// Disables a user, whose sessions end, or enables one. One that is so already stays as it is.
///
/// # Errors
/// Returns an error if there is no such user, or if the database query fails.
pub async fn set_disabled(
    store: &Store,
    name: &str,
    disabled: bool,
    actor: &Actor,
) -> Result<User, UserError> {
    let name = name_of(name).ok_or(UserError::Unknown)?;
    let changed = store.set_user_disabled(&name, disabled, actor).await?;
    changed.ok_or(UserError::Unknown)
}

/// Removes a user. The audit log keeps what they did.
///
/// # Errors
/// Returns an error if there is no such user, or if the database query fails.
pub async fn remove(store: &Store, name: &str, actor: &Actor) -> Result<(), UserError> {
    let name = name_of(name).ok_or(UserError::Unknown)?;
    if store.remove_user(&name, actor).await? {
        Ok(())
    } else {
        Err(UserError::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn user(role: Role, schools: Option<&[&str]>) -> User {
        let schools = schools.map(|ids| ids.iter().map(|id| SchoolId::from(*id)).collect());
        User {
            name: "amy".to_owned(),
            shown: "Amy".to_owned(),
            role,
            schools,
            created_at: None,
            created_by: None,
            signed_in_at: None,
            disabled_at: None,
        }
    }

    #[rstest]
    #[case(Role::Look, Task::See, None)]
    #[case(Role::Look, Task::Decide, Some(Role::Tend))]
    #[case(Role::Tend, Task::SignPeopleIn, None)]
    #[case(Role::Tend, Task::ChangeSettings, Some(Role::Set))]
    #[case(Role::Set, Task::Decide, None)]
    #[case(Role::Set, Task::ManageUsers, Some(Role::Admin))]
    #[case(Role::Set, Task::ReadAudit, Some(Role::Admin))]
    #[case(Role::Admin, Task::ManageKeys, None)]
    fn a_role_may_do_what_lesser_ones_may(
        #[case] role: Role,
        #[case] task: Task,
        #[case] needed: Option<Role>,
    ) {
        let denied = needed.map(Denied::Role);
        let user = user(role, Some(&["A1"]));
        assert_eq!(user.may(task, &"A1".into()).err(), denied);
        // Whatever the role, another school is as if it did not exist.
        assert_eq!(user.may(task, &"A2".into()), Err(Denied::Unseen));
    }

    #[test]
    fn more_role_never_takes_anything_away() {
        for task in Task::ALL {
            for pair in Role::ALL.windows(2) {
                let (less, more) = (user(pair[0], None), user(pair[1], None));
                let may = |user: &User| user.may(*task, &"A1".into()).is_ok();
                assert!(!may(&less) || may(&more), "{task:?} {pair:?}");
                for scope in Scope::ALL {
                    assert!(!less.grant().allows(*scope) || more.grant().allows(*scope));
                }
            }
        }
    }

    #[rstest]
    #[case("amy", Some("amy"))]
    #[case(" Amy.Smith@Hill.sch.uk ", Some("amy.smith@hill.sch.uk"))]
    #[case("", None)]
    #[case("..", None)]
    #[case("a b", None)]
    #[case("a/b", None)]
    #[case("zoë", None)]
    #[case("a\0", None)]
    fn a_name_for_signing_in_is_plain(#[case] text: &str, #[case] name: Option<&str>) {
        assert_eq!(name_of(text).as_deref(), name);
    }

    #[rstest]
    #[case("amy", "correct horse battery", true)]
    #[case("amy", "elevenchars", false)]
    #[case("amy", "ééééáááíííó", false)]
    #[case("amy", "aaaaaaaaaaaaaaaa", false)]
    #[case("amy.smith", "amy.smith2026", false)]
    #[case("amy", "Amy's correct horse battery", true)]
    fn a_password_cannot_be_guessed_easily(
        #[case] name: &str,
        #[case] password: &str,
        #[case] fits: bool,
    ) {
        let checked = check_password(name, &password.to_owned().into());
        assert_eq!(checked.is_ok(), fits, "{checked:?}");
        let long = "correct horse ".repeat(40).into();
        assert!(check_password(name, &long).is_err());
    }
}
