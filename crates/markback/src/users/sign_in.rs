//! Signing in with name and password, and slowing those who guess.
//!
//! Tries are counted by name and address before a password is hashed, never by what a header says. Many people may share an
//! address, such as that of a proxy: others' tries under other names do not count, and a browser in which the user has
//! signed in before has a count of its own, so that somebody who guesses at a name cannot keep its owner out.

use std::{fmt, net::IpAddr, num::NonZeroU32, time::Duration};

use governor::Quota;
use secrecy::SecretString;

use super::{User, UserError, check_password, name_of, password, set_password};
use crate::{
    audit_log::Caller,
    keys::Hash,
    metrics,
    operator::Actor,
    slowed::{Slowed, network},
    store::Store,
};

/// The interface in the audit log.
pub(crate) const VIA: &str = "pages";

const TRIES: NonZeroU32 = match NonZeroU32::new(10) {
    Some(tries) => tries,
    None => NonZeroU32::MIN,
};
/// Tries under one name from one address or from a known browser: ten at once, and then one every 20 seconds.
const EVERY: Duration = Duration::from_secs(20);
/// Tries under one name from all addresses together, without known browsers: more, because an address is easily changed.
const ALL_TRIES: NonZeroU32 = TRIES.saturating_mul(TRIES);
const ALL_EVERY: Duration = Duration::from_secs(5);

/// Somebody who wants to sign in.
pub struct Attempt {
    /// The name as it was typed.
    pub name: String,
    /// The password as it was typed.
    pub password: SecretString,
    /// The address from which the connection comes, if known.
    pub peer: Option<IpAddr>,
    /// The random text that the browser keeps, if it does. It is a secret of the browser.
    pub browser: Option<String>,
}

impl Attempt {
    fn browser_hash(&self) -> Option<String> {
        let browser = self.browser.as_deref();
        browser.map(|secret| Hash::of(secret.as_bytes()).hex())
    }
}

/// A user who has just signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedIn {
    /// The user.
    pub user: User,
    /// What sessions of this password have. Another password, or disabling the user, ends them.
    pub stamp: i64,
}

/// Why somebody could not sign in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// There is no such user, the password is wrong, or the user is disabled. Which of these is not told.
    #[error("the name or the password is wrong, or the user is disabled")]
    Wrong,
    /// There were too many tries.
    #[error("there were too many tries under this name; try again in {0} seconds")]
    Slowed(u32),
    /// Too many people sign in at once.
    #[error("too many people are signing in at the moment; try again in a few seconds")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// Why a user could not change their password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangePasswordError {
    /// The old password was not accepted.
    #[error(transparent)]
    Old(#[from] SignInError),
    /// The new one was not.
    #[error(transparent)]
    New(#[from] UserError),
}

/// Signs users in.
pub struct Users {
    store: Store,
    of_client: Slowed,
    of_name: Slowed,
}

impl Users {
    pub(crate) fn new(store: Store) -> Self {
        let quota = |every, tries| {
            Quota::with_period(every)
                .unwrap_or(Quota::per_minute(TRIES))
                .allow_burst(tries)
        };
        Self {
            of_client: Slowed::new(quota(EVERY, TRIES), store.clock().clone()),
            of_name: Slowed::new(quota(ALL_EVERY, ALL_TRIES), store.clock().clone()),
            store,
        }
    }

    /// Checks name and password. An unknown name takes as long as a wrong password.
    ///
    /// # Errors
    /// Returns an error if they are wrong, if there were too many tries, or if the database query fails.
    pub async fn sign_in(&self, attempt: Attempt) -> Result<SignedIn, SignInError> {
        let browser = attempt.browser_hash();
        let signed_in = self.check(attempt).await?;
        let user = &signed_in.user;
        self.store
            .note_sign_in(&user.name, browser.as_deref(), &user.actor(None))
            .await?;
        Ok(signed_in)
    }

    /// Sets the password of a user who gives the old one. All sessions of the user end; the answer is for a new one.
    ///
    /// # Errors
    /// Returns an error if the old password is wrong, if there were too many tries, if the new one can be guessed, or if a
    /// database query fails.
    pub async fn change_password(
        &self,
        old: Attempt,
        new: &SecretString,
    ) -> Result<SignedIn, ChangePasswordError> {
        check_password(&name_of(&old.name).unwrap_or_default(), new)?;
        let user = self.check(old).await?.user;
        set_password(&self.store, &user.name, new, &user.actor(None)).await?;
        let changed = self.store.user_with_password(&user.name).await;
        let (user, _, stamp) = changed
            .map_err(SignInError::Store)?
            .ok_or(UserError::Unknown)?;
        Ok(SignedIn { user, stamp })
    }

    async fn check(&self, attempt: Attempt) -> Result<SignedIn, SignInError> {
        // A name that cannot be one is counted and checked like any that is unknown.
        let name = name_of(&attempt.name).unwrap_or_default();
        let browser = attempt.browser_hash();
        if let Some(seconds) = self.count(&name, attempt.peer, browser.as_deref()).await? {
            metrics::wrong_password(true);
            return Err(SignInError::Slowed(seconds));
        }
        let found = self.store.user_with_password(&name).await?;
        let hash = found.as_ref().map(|(_, hash, _)| hash.as_str());
        let is_right = password::is_right(hash, attempt.password).await;
        let is_right = is_right.map_err(|error| match error {
            UserError::Store(error) => SignInError::Store(error),
            _ => SignInError::Busy,
        })?;
        let found = found.filter(|(user, ..)| is_right && user.disabled_at.is_none());
        let Some((user, _, stamp)) = found else {
            metrics::wrong_password(false);
            return Err(SignInError::Wrong);
        };
        Ok(SignedIn { user, stamp })
    }

    /// Whether there is any user.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn are_any(&self) -> outbox::Result<bool> {
        Ok(self.store.user_count().await? > 0)
    }

    async fn count(
        &self,
        name: &str,
        peer: Option<IpAddr>,
        browser: Option<&str>,
    ) -> outbox::Result<Option<u32>> {
        if let Some(browser) = browser
            && self.store.knows_browser(name, browser).await?
        {
            return Ok(self.of_client.count((name, browser)));
        }
        let of_client = self.of_client.count((name, peer.map(network)));
        // Those that are slowed by address do not use up the tries of all.
        Ok(of_client.or_else(|| self.of_name.count(name)))
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl Actor {
    /// A user of the pages, by the name for signing in.
    pub fn of_user(name: &str, note: Option<String>) -> Self {
        Self {
            by: Some(name.to_owned()),
            via: VIA,
            note,
            caller: Caller::user(Some(name.to_owned())),
        }
    }
}
