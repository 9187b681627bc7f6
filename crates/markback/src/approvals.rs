//! Schools that approved the application at Wonde: they come in as drafts, with their token if it is in the webhook.

use std::{fmt, time::Duration};

use mis_core::SchoolId;
use secrecy::SecretString;

use crate::{
    audit_log::Caller,
    configuration::{Configuration, TokenError},
    operator::Actor,
    service::Markback,
    settings::{Owner, SecretError, SecretSource, TITLE_MAX},
    store::{NoticeKind, SettingsKey},
};

/// How long to wait until Wonde says whether it knows a token.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// What a `schoolApproved` webhook says. `Debug` does not show the token.
pub struct Approval {
    /// The school.
    pub school: SchoolId,
    /// Its name, on one line.
    pub name: Option<String>,
    /// Its token for Wonde.
    pub token: Option<SecretString>,
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval")
            .field("school", &self.school)
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// What followed from an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Approved {
    /// The school is a draft now, and the database has its token.
    DraftWithToken,
    /// The school is a draft now, and needs a token.
    Draft,
    /// The school was known, and has a new token in the database.
    NewToken,
    /// The school was known, and nothing changed.
    Known,
    /// The school was removed from the database, and nothing changed.
    Removed,
    /// Wonde does not know the token for this school, and nothing changed.
    Unconfirmed,
}

impl Approved {
    /// What was done, for the answer to the webhook and for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DraftWithToken => "the school is a draft now, with its token",
            Self::Draft => "the school is a draft now, without a token",
            Self::NewToken => "the school has its new token",
            Self::Known => "the school is resumed",
            Self::Removed => "the school was removed from the settings, and stays out of them",
            Self::Unconfirmed => "Wonde does not confirm it",
        }
    }
}

/// Whether Wonde knows a token.
enum Confirmed {
    Yes,
    No,
    NotAsked,
}

impl Markback {
    /// Takes in what Wonde says about a school that approved the application.
    ///
    /// A school that neither the file nor the database has becomes a draft, which rules only when a person activates it. A
    /// known school is left alone, except that a school of the database gets its token if that is a new one that Wonde
    /// confirms. Repeating it changes nothing. `markback status` shows what a person should do.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read or written.
    pub async fn school_approved(&self, approval: &Approval) -> outbox::Result<Approved> {
        let school = &approval.school;
        let mut all = self.configuration().await;
        let key = SettingsKey::from(school);
        let is_of_file = all.owner(&key) == Some(Owner::File);
        let rules = all.owner(&key).is_some();
        let is_kept = all.present(&key).await?.is_some();
        let is_draft = is_kept && self.store().settings_activations(&key).await?.is_empty();
        let (done, words) = if is_of_file {
            (Approved::Known, ELSEWHERE.to_owned())
        } else if is_kept && !rules && !is_draft {
            (Approved::Removed, REMOVED.to_owned())
        } else {
            let confirmed = self.ask_about(approval).await;
            match (is_kept, confirmed) {
                (_, Confirmed::No) => (Approved::Unconfirmed, UNCONFIRMED.to_owned()),
                (true, confirmed) => renew(&all, approval, &confirmed, rules).await?,
                (false, _) => self.draft_of(&mut all, approval).await?,
            }
        };
        self.refresh_settings().await?;
        self.store()
            .note(school, NoticeKind::Approved, "", &words, false)
            .await?;
        Ok(done)
    }

    async fn ask_about(&self, approval: &Approval) -> Confirmed {
        let Some(token) = &approval.token else {
            return Confirmed::NotAsked;
        };
        let asked = self.schools().opens(&approval.school, token);
        match tokio::time::timeout(ASK_WITHIN, asked).await {
            Ok(Ok(true)) => Confirmed::Yes,
            Ok(Ok(false)) => Confirmed::No,
            Ok(Err(_)) | Err(_) => Confirmed::NotAsked,
        }
    }

    /// Brings in a school that nobody has.
    async fn draft_of(
        &self,
        all: &mut Configuration,
        approval: &Approval,
    ) -> outbox::Result<(Approved, String)> {
        let school = &approval.school;
        let no_key = self.settings().service.check_seal_key().err();
        let of_token = match (&approval.token, &no_key) {
            (None, _) => "the webhook had no token".to_owned(),
            (Some(_), None) => "with the token of the webhook".to_owned(),
            (Some(_), Some(error)) => format!("the token in the webhook was not kept: {error}"),
        };
        let actor = wonde(&format!("schoolApproved; {of_token}"));
        let name = approval.name.as_deref().map(|name| {
            let name = toml::Value::from(name.chars().take(TITLE_MAX).collect::<String>());
            format!("name = {name}\n")
        });
        let text = format!(
            "# The school approved the application at Wonde. Complete these settings, then let them rule:\n\
             # markback settings activate --school {school}\n{}",
            name.unwrap_or_default()
        );
        if !all.bring_in(school, &text, &actor).await? {
            return Ok((Approved::Known, DRAFT.to_owned()));
        }
        let kept = match (&approval.token, no_key) {
            (Some(token), None) => keep(all, school, token, &actor).await?,
            _ => false,
        };
        let (done, token) = match (kept, &approval.token) {
            (true, _) => (Approved::DraftWithToken, "its token is kept".to_owned()),
            (false, None) => (Approved::Draft, format!("{of_token}: {SET_TOKEN}")),
            (false, Some(_)) => (Approved::Draft, format!("{of_token}; then {SET_TOKEN}")),
        };
        Ok((done, format!("{DRAFT}; {token}")))
    }
}

/// Gives a school of the database its new token.
async fn renew(
    all: &Configuration,
    approval: &Approval,
    confirmed: &Confirmed,
    rules: bool,
) -> outbox::Result<(Approved, String)> {
    let known = |words: &str| Ok((Approved::Known, words.to_owned()));
    let usual = if rules { KNOWN } else { DRAFT };
    let Some(token) = &approval.token else {
        return known(usual);
    };
    let settings = all.settings();
    let place = settings.school(&approval.school).map(|one| &one.token);
    if place.is_some_and(|place| !matches!(place, Some(SecretSource::Sealed(_)))) {
        return known(ELSEWHERE);
    }
    if !matches!(confirmed, Confirmed::Yes) {
        return known(NOT_ASKED);
    }
    match keep(all, &approval.school, token, &wonde("schoolApproved")).await? {
        true => Ok((
            Approved::NewToken,
            format!("{usual}; its new token is kept"),
        )),
        false => known(usual),
    }
}

/// Keeps a token if it is a new one. What is wrong with it or with the key is logged, never the token.
async fn keep(
    all: &Configuration,
    school: &SchoolId,
    token: &SecretString,
    actor: &Actor,
) -> outbox::Result<bool> {
    match all.set_token_if_new(school, token, actor).await {
        Ok(is_new) => Ok(is_new),
        Err(TokenError::Store(error)) => Err(error),
        Err(TokenError::Secret(SecretError::NoSealKey)) => Ok(false),
        Err(error) => {
            tracing::warn!(%school, %error, "the school's token in a webhook was not kept");
            Ok(false)
        }
    }
}

fn wonde(note: &str) -> Actor {
    Actor {
        by: Some("Wonde".to_owned()),
        via: "webhook",
        note: Some(note.to_owned()),
        caller: Caller::user(Some("Wonde".to_owned())),
    }
}

const ELSEWHERE: &str = "the school approved the application. If it has a token of its own, put that where the settings \
     say: it is in Wonde's portal, and Markback does not keep the one in the webhook";
const REMOVED: &str = "the school approved the application, and was removed from the settings: `markback settings undo` \
     brings it back, and `markback token set` keeps its token from Wonde's portal";
const UNCONFIRMED: &str = "a webhook says that the school approved the application, but Wonde does not accept the token in \
     it for this school; look in Wonde's portal";
const NOT_ASKED: &str = "the school approved the application, but Wonde could not be asked about the token in the webhook, so \
     the present one stays; if Wonde's portal has a new one, keep it with `markback token set`";
const KNOWN: &str = "the school approved the application";
const DRAFT: &str = "the school approved the application and is a draft in the database: complete its settings with \
     `markback settings draft`, and let them rule with `markback settings activate`";
const SET_TOKEN: &str =
    "keep it from Wonde's portal with `markback token set`, or name its place in the settings";
