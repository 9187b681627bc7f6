//! Schools' tokens for Wonde that the database keeps, sealed.

use std::collections::BTreeMap;

use mis_core::SchoolId;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::Configuration;
use crate::{
    audit_log::{AuditAction, NewAuditEntry},
    operator::Actor,
    seal::SecretOf,
    settings::{Owner, SecretError, SecretSource},
    store::{SettingsKey, TokenChange, TokensChanged},
};

/// The longest token in bytes; Wonde's are far shorter.
const TOKEN_MAX: usize = 4096;
/// The most rows of one statement.
const ROWS_AT_ONCE: usize = 2_000;

/// Why a token was not changed. Nothing was written. No error shows a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Neither the file nor the database has the school.
    #[error("there is no school {school} in the store; add it with `markback schools add --draft`")]
    Unknown {
        /// The school.
        school: SchoolId,
    },
    /// The file has the school.
    #[error(
        "the settings file has the school {school}; name the place of its token there, or move the school into the store \
         with `markback schools adopt`"
    )]
    OfFile {
        /// The school.
        school: SchoolId,
    },
    /// The database has no token for the school.
    #[error(
        "the store has no token for the school {school}; `markback token ls` lists those it has"
    )]
    None {
        /// The school.
        school: SchoolId,
    },
    /// It is not the text of a token.
    #[error("this is not a token: {0}")]
    NotAToken(&'static str),
    /// The key cannot be used, or the token cannot be sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// A token that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TokenSet {
    /// The school.
    #[schemars(with = "String")]
    pub school: SchoolId,
    /// The id of the key that it is sealed with.
    pub key_id: String,
    /// The place that the school's settings or its template name. That one counts, and the token in the database does not.
    pub elsewhere: Option<String>,
}

/// What sealing all tokens with the present key has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Resealed {
    /// The id of the present key.
    pub key_id: String,
    /// How many were sealed with it now.
    pub resealed: usize,
    /// How many were sealed with it before.
    pub already: usize,
    /// The schools whose tokens cannot be opened, with the reason. They were left as they are.
    pub failed: BTreeMap<SchoolId, String>,
}

impl Configuration {
    /// Seals a school's token and keeps it, in place of an earlier one. Nodes use it within seconds. A school that is only
    /// a draft can have one.
    ///
    /// # Errors
    /// Returns an error if the database does not keep the school, the text is no token, or there is no key.
    pub async fn set_token(
        &self,
        school: &SchoolId,
        token: &SecretString,
        actor: &Actor,
    ) -> Result<TokenSet, TokenError> {
        let key = SettingsKey::from(school);
        if self.layers.owner(&key) == Some(Owner::File) {
            let school = school.clone();
            return Err(TokenError::OfFile { school });
        }
        if self.present(&key).await?.is_none() {
            let school = school.clone();
            return Err(TokenError::Unknown { school });
        }
        let token = checked(token)?;
        let keys = self.layers.file().service.seal_keys().read();
        let seal = keys.present()?;
        let sealed = [(school.clone(), seal.seal(SecretOf::School(school), &token)?)];
        self.change(TokenChange::Set, Some(&seal.id), &sealed, actor)
            .await?;
        let settings = self.layers.settings();
        let place = settings.school(school).and_then(|one| one.token.as_ref());
        let elsewhere = place.filter(|place| !matches!(place, SecretSource::Sealed(_)));
        Ok(TokenSet {
            school: school.clone(),
            key_id: seal.id.clone(),
            elsewhere: elsewhere.map(ToString::to_string),
        })
    }

    /// Keeps a school's token if it differs from the one that the database has. Returns whether it does.
    ///
    /// # Errors
    /// Returns an error like [`set_token`](Self::set_token).
    pub(crate) async fn set_token_if_new(
        &self,
        school: &SchoolId,
        token: &SecretString,
        actor: &Actor,
    ) -> Result<bool, TokenError> {
        let token = checked(token)?;
        let kept = self.store.sealed_tokens(Some(school)).await?;
        let keys = self.layers.file().service.seal_keys().read();
        let known = kept.get(school).and_then(|row| keys.open(school, row).ok());
        if known.is_some_and(|known| known.expose_secret() == token.expose_secret()) {
            return Ok(false);
        }
        self.set_token(school, &token, actor).await.map(|_| true)
    }

    /// Removes a school's token from the database.
    ///
    /// # Errors
    /// Returns an error if it has none.
    pub async fn remove_token(&self, school: &SchoolId, actor: &Actor) -> Result<(), TokenError> {
        if self.store.sealed_tokens(Some(school)).await?.is_empty() {
            let school = school.clone();
            return Err(TokenError::None { school });
        }
        let gone = [(school.clone(), String::new())];
        self.change(TokenChange::Removed, None, &gone, actor)
            .await?;
        Ok(())
    }

    /// Seals all tokens with the present key, so that the key before it is no longer needed. All are written in one
    /// transaction; those that cannot be opened stay as they are.
    ///
    /// # Errors
    /// Returns an error if there is no key, or the database fails.
    pub async fn reseal_tokens(&self, actor: &Actor) -> Result<Resealed, TokenError> {
        let keys = self.layers.file().service.seal_keys().read();
        let seal = keys.present()?;
        let mut done = Resealed {
            key_id: seal.id.clone(),
            ..Resealed::default()
        };
        let mut tx = self.store.database().begin().await?;
        // Its lock keeps others from setting tokens meanwhile.
        let generation = self.store.raise_settings_generation(&mut tx).await?;
        let mut new = Vec::new();
        for (school, row) in self.store.sealed_tokens_in(&mut tx, None).await? {
            let opened = keys.open(&school, &row);
            match opened {
                Ok(_) if row.key_id == seal.id => done.already += 1,
                Ok(token) => {
                    let sealed = seal.seal(SecretOf::School(&school), &token)?;
                    new.push((school, sealed));
                }
                Err(error) => {
                    done.failed.insert(school, error.to_string());
                }
            }
        }
        done.resealed = new.len();
        for tokens in new.chunks(ROWS_AT_ONCE) {
            let change = TokensChanged {
                what: TokenChange::Resealed,
                generation,
                key_id: Some(&seal.id),
                tokens,
            };
            self.store.change_tokens(&mut tx, &change, actor).await?;
        }
        if new.is_empty() {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(done)
    }

    /// Why a token that the database keeps cannot be used with the keys of these settings, by school.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn tokens_unread(&self) -> outbox::Result<BTreeMap<SchoolId, SecretError>> {
        let keys = self.layers.file().service.seal_keys().read();
        let unread = self.store.sealed_tokens(None).await?.into_iter();
        let unread =
            unread.filter_map(|(school, row)| Some((keys.open(&school, &row).err()?, school)));
        Ok(unread.map(|(error, school)| (school, error)).collect())
    }

    async fn change(
        &self,
        what: TokenChange,
        key_id: Option<&str>,
        tokens: &[(SchoolId, String)],
        actor: &Actor,
    ) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        let change = TokensChanged {
            what,
            generation: self.store.raise_settings_generation(&mut tx).await?,
            key_id,
            tokens,
        };
        self.store.change_tokens(&mut tx, &change, actor).await?;
        let entries: Vec<_> = match what {
            TokenChange::Set => of_each(AuditAction::TokenStored, tokens, actor),
            TokenChange::Removed => of_each(AuditAction::TokenRemoved, tokens, actor),
            TokenChange::Resealed => vec![
                actor
                    .entry(AuditAction::TokensResealed)
                    .amount(tokens.len()),
            ],
        };
        self.store.record_in(&mut tx, &entries).await?;
        tx.commit().await
    }
}

/// An entry of the audit log for each of the schools.
fn of_each(
    action: AuditAction,
    tokens: &[(SchoolId, String)],
    actor: &Actor,
) -> Vec<NewAuditEntry> {
    let schools = tokens.iter().map(|(school, _)| school);
    schools
        .map(|school| actor.entry(action).school(school))
        .collect()
}

/// The token without surrounding white space.
fn checked(token: &SecretString) -> Result<SecretString, TokenError> {
    let text = crate::text::without_bom(token.expose_secret()).trim();
    if text.is_empty() {
        return Err(TokenError::NotAToken("it is empty"));
    }
    if text.len() > TOKEN_MAX {
        return Err(TokenError::NotAToken("it has more than 4096 characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::NotAToken(
            "it has a space, a line end or a character other than those of ASCII",
        ));
    }
    Ok(text.to_owned().into())
}
