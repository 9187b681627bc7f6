//! The keys of the API: making, checking and revoking them.
//!
//! A key is `mb_`, its public part, `_`, and a secret part with a checksum at its end. The database has the public part and
//! a hash of the whole, so a copy of it opens nothing. Each node keeps the keys in memory and looks for changes when a
//! request finds its copy older than two seconds. So a revoked key stops everywhere within that time.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::SchoolId;
use rand::distr::{Alphanumeric, SampleString as _};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::time::Instant;

use crate::{audit_log::Caller, operator::Actor, store::Store};

/// Every key begins with it, so that tools which search for leaked secrets find keys.
pub const PREFIX: &str = "mb_";
/// The length of the public part.
const ID_LEN: usize = 10;
/// The length of the secret part: 43 characters of 62 are 256 random bits.
const SECRET_LEN: usize = 43;
const CHECKSUM_LEN: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The longest name in characters.
const NAME_MAX: usize = 100;
/// How old a node's copy of the keys may be when it decides about a request.
const FRESH: Duration = Duration::from_secs(2);
/// How long a key is listed after it has expired or was revoked. The audit log keeps what it did.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The last use of a key is written at most this often.
const USE_EVERY_MS: i64 = 60_000;

/// What a key may do.
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
#[schemars(rename = "KeyScope")]
#[non_exhaustive]
pub enum Scope {
    /// Send events, and decide about those that need a person.
    #[serde(rename = "events:write")]
    #[strum(serialize = "events:write")]
    EventsWrite,
    /// Read events, their decisions and outcomes.
    #[serde(rename = "events:read")]
    #[strum(serialize = "events:read")]
    EventsRead,
    /// Read groups, their people and syncs.
    #[serde(rename = "groups:read")]
    #[strum(serialize = "groups:read")]
    GroupsRead,
    /// Read and change settings, and start syncs.
    #[serde(rename = "settings:write")]
    #[strum(serialize = "settings:write")]
    SettingsWrite,
    /// Everything, with keys and the audit log.
    #[serde(rename = "admin")]
    #[strum(serialize = "admin")]
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Its name, such as `events:write`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a key may do, and at which schools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    scopes: BTreeSet<Scope>,
    schools: Option<BTreeSet<SchoolId>>,
}

impl Grant {
    /// These scopes, at these schools; `None` stands for all schools, also those that come later.
    pub fn new(scopes: BTreeSet<Scope>, schools: Option<BTreeSet<SchoolId>>) -> Self {
        Self { scopes, schools }
    }

    /// Nothing at no school.
    pub fn nothing() -> Self {
        Self::new(BTreeSet::new(), Some(BTreeSet::new()))
    }

    /// Everything at all schools.
    pub fn everything() -> Self {
        Self::new(BTreeSet::from([Scope::Admin]), None)
    }

    /// Whether it includes a scope. [`Scope::Admin`] includes all.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether the school exists for it.
    pub fn sees(&self, school: &SchoolId) -> bool {
        self.schools
            .as_ref()
            .is_none_or(|schools| schools.contains(school))
    }

    /// The schools that it sees; `None` for all.
    pub fn schools(&self) -> Option<&BTreeSet<SchoolId>> {
        self.schools.as_ref()
    }

    /// Whether it sees all schools that another one sees.
    pub fn sees_all_of(&self, other: Option<&BTreeSet<SchoolId>>) -> bool {
        match (&self.schools, other) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other.is_subset(own),
        }
    }
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for, in words.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The schools that exist for it; `None` for all, also those that come later.
    pub schools: Option<BTreeSet<SchoolId>>,
    /// When it stops; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as it is listed. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Its public part.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The schools that exist for it; `None` for all.
    #[schemars(with = "Option<Vec<String>>")]
    pub schools: Option<BTreeSet<SchoolId>>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// By whom: a key's name or a system user.
    pub created_by: Option<String>,
    /// When it stops; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// By whom.
    pub revoked_by: Option<String>,
}

impl KeyRecord {
    /// `active`, `expired` or `revoked`.
    pub fn state(&self, now: DateTime<Utc>) -> &'static str {
        if self.revoked_at.is_some() {
            "revoked"
        } else if self.expires_at.is_some_and(|at| at <= now) {
            "expired"
        } else {
            "active"
        }
    }
}

/// Why a key cannot be made or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
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
    /// There is no such key.
    #[error("there is no key with this id; `markback keys ls` lists them")]
    Unknown,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

impl NewKey {
    /// Checks it at this time.
    fn check(&self, now: DateTime<Utc>) -> Result<(), KeyError> {
        let name = self.name.trim();
        let flaws = [
            (
                name.is_empty() || name.chars().count() > NAME_MAX,
                "name",
                "a name has 1 to 100 characters",
                "say in a few words what the key is for",
            ),
            (
                name.chars().any(char::is_control),
                "name",
                "there is a control character in it",
                "write it on one line",
            ),
            (
                self.scopes.is_empty(),
                "scopes",
                "a key without a scope can do nothing",
                "name at least one: events:write, events:read, groups:read, settings:write or admin",
            ),
            (
                self.schools.as_ref().is_some_and(BTreeSet::is_empty),
                "schools",
                "the list is empty, so no school would exist for the key",
                "name at least one school, or leave the list out for all schools",
            ),
            (
                self.expires_at.is_some_and(|at| at <= now),
                "expires",
                "that time is over already",
                "name a later one, or leave it out for a key that does not expire",
            ),
        ];
        let flaw = flaws.into_iter().find(|(flawed, ..)| *flawed);
        flaw.map_or(Ok(()), |(_, field, message, help)| {
            Err(KeyError::Invalid {
                field,
                message,
                help,
            })
        })
    }
}

/// Makes a key. The secret is returned this once and is nowhere else.
///
/// # Errors
/// Returns an error if what is asked for is not possible, or if the database query fails.
pub async fn add(
    store: &Store,
    new: &NewKey,
    actor: &Actor,
) -> Result<(SecretString, KeyRecord), KeyError> {
    new.check(store.now())?;
    let (id, key) = make();
    let hash = Hash::of(key.expose_secret().as_bytes());
    let record = store.add_key(&id, &hash.hex(), new, actor).await?;
    Ok((key, record))
}

/// Revokes a key by its public part. Every node rejects it within seconds. A key that is revoked already stays as it is.
///
/// # Errors
/// Returns an error if there is no such key, or if the database query fails.
pub async fn revoke(store: &Store, id: &str, actor: &Actor) -> Result<KeyRecord, KeyError> {
    store.revoke_key(id, actor).await?.ok_or(KeyError::Unknown)
}

/// A new public part, and the whole key.
fn make() -> (String, SecretString) {
    // A generator that is fit for secrets.
    let mut random = rand::rng();
    let id = Alphanumeric.sample_string(&mut random, ID_LEN);
    let secret = Alphanumeric.sample_string(&mut random, SECRET_LEN);
    let body = format!("{PREFIX}{id}_{secret}");
    let key = format!("{body}{}", checksum(&body));
    (id, key.into())
}

/// The last six characters of a key, from all before them. They tell a mistyped or cut key without a look into the
/// database, and are no part of the secret.
pub fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    let letters = digest.iter().take(CHECKSUM_LEN);
    letters
        .filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()))
        .map(|letter| char::from(*letter))
        .collect()
}

/// The public part of what may be a key; `None` if it has not a key's form.
pub fn public_part(shown: &[u8]) -> Option<&str> {
    const LEN: usize = PREFIX.len() + ID_LEN + 1 + SECRET_LEN + CHECKSUM_LEN;
    let text = std::str::from_utf8(shown).ok()?;
    let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_LEN)?;
    let secret = secret.strip_prefix('_')?;
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let well_formed = text.len() == LEN && plain(id) && plain(secret);
    let (body, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_LEN)?)?;
    (well_formed && checksum(body) == sum).then_some(id)
}

/// The SHA-256 of a secret. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of a whole key.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether both are equal, in constant time.
    pub fn equals(&self, other: &Self) -> bool {
        self.same(other).into()
    }

    fn same(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }

    pub(crate) fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::new(), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Nothing for a text that is no hash.
    pub(crate) fn read(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() {
            return None;
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

/// A key as a node keeps it to check requests.
#[derive(Clone, Debug)]
pub(crate) struct KnownKey {
    pub(crate) name: String,
    pub(crate) hash: Hash,
    pub(crate) grant: Grant,
    pub(crate) expires_ms: Option<i64>,
    pub(crate) last_used_ms: Option<i64>,
}

/// A key that was shown and is right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Whose it is, for the audit log.
    pub caller: Caller,
    /// What it may do.
    pub grant: Grant,
    /// When it stops; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// This node's copy of the keys.
#[derive(Debug)]
pub struct Keys {
    store: Store,
    copy: RwLock<Arc<Copied>>,
    /// Held while the database is read, with the time of the last failure.
    reading: tokio::sync::Mutex<Option<Instant>>,
    /// By public part the last use that is written or about to be, in ms; and what is to be written.
    uses: Mutex<Uses>,
    /// Takes the place of an unknown key, so that it takes as long to reject one.
    dummy: KnownKey,
}

#[derive(Debug, Default)]
struct Copied {
    looked_at: Option<DateTime<Utc>>,
    generation: Option<i64>,
    by_id: Arc<HashMap<String, KnownKey>>,
}

#[derive(Debug, Default)]
struct Uses {
    noted: HashMap<String, i64>,
    due: HashMap<String, i64>,
}

impl Keys {
    pub(crate) fn new(store: Store) -> Self {
        let (_, key) = make();
        Self {
            store,
            copy: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            uses: Mutex::default(),
            dummy: KnownKey {
                name: String::new(),
                hash: Hash::of(key.expose_secret().as_bytes()),
                grant: Grant::nothing(),
                expires_ms: None,
                last_used_ms: None,
            },
        }
    }

    /// Checks a key; `None` if it is unknown, wrong, expired or revoked, which all take the same time.
    ///
    /// # Errors
    /// Returns an error if this node's copy of the keys is too old and the database cannot be read.
    pub async fn verify(&self, shown: &[u8]) -> outbox::Result<Option<Verified>> {
        let known = self.fresh().await?;
        let shown_hash = Hash::of(shown);
        let id = public_part(shown).unwrap_or_default();
        let found = known.get(id);
        let key = found.unwrap_or(&self.dummy);
        let is_right = key.hash.same(&shown_hash) & Choice::from(u8::from(found.is_some()));
        let now = self.store.now_ms();
        let is_valid = key.expires_ms.is_none_or(|at| now < at);
        if !bool::from(is_right) || !is_valid {
            return Ok(None);
        }
        self.note_use(id, key, now);
        Ok(Some(Verified {
            caller: Caller::of_key(id, &key.name),
            grant: key.grant.clone(),
            expires_at: key.expires_ms.and_then(DateTime::from_timestamp_millis),
        }))
    }

    /// Whether a key is neither unknown, expired nor revoked by now, for requests that take long.
    ///
    /// # Errors
    /// Returns an error if this node's copy of the keys is too old and the database cannot be read.
    pub async fn is_valid(&self, id: &str) -> outbox::Result<bool> {
        let known = self.fresh().await?;
        let now = self.store.now_ms();
        let is_valid = |key: &KnownKey| key.expires_ms.is_none_or(|at| now < at);
        Ok(known.get(id).is_some_and(is_valid))
    }

    /// Lets the next request look for changed keys, for example because this node has just changed one.
    pub fn look_again(&self) {
        let mut copy = self.copy.write().unwrap_or_else(PoisonError::into_inner);
        *copy = Arc::new(Copied {
            looked_at: None,
            generation: copy.generation,
            by_id: copy.by_id.clone(),
        });
    }

    /// Writes when keys were last used, at most once a minute for each.
    ///
    /// # Errors
    /// Returns an error if the database query fails; it is tried again with the next call.
    pub(crate) async fn write_uses(&self) -> outbox::Result<()> {
        let due = std::mem::take(&mut self.uses().due);
        if due.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = due.iter().map(|(id, at)| (id.as_str(), *at)).collect();
        let written = self.store.note_key_uses(&rows).await;
        if written.is_err() {
            let mut uses = self.uses();
            for (id, at) in due {
                uses.due.entry(id).or_insert(at);
            }
        }
        written
    }

    fn note_use(&self, id: &str, key: &KnownKey, now: i64) {
        let mut uses = self.uses();
        let last = uses.noted.get(id).copied().max(key.last_used_ms);
        if last.is_none_or(|last| now - last >= USE_EVERY_MS) {
            uses.noted.insert(id.to_owned(), now);
            uses.due.insert(id.to_owned(), now);
        }
    }

    fn uses(&self) -> std::sync::MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copied(&self) -> Arc<Copied> {
        let copy = self.copy.read().unwrap_or_else(PoisonError::into_inner);
        copy.clone()
    }

    /// The keys by public part, as they were less than [`FRESH`] ago.
    async fn fresh(&self) -> outbox::Result<Arc<HashMap<String, KnownKey>>> {
        let copy = self.copied();
        if self.is_fresh(&copy) {
            return Ok(copy.by_id.clone());
        }
        let came = Instant::now();
        let mut failed = self.reading.lock().await;
        let copy = self.copied();
        if self.is_fresh(&copy) {
            return Ok(copy.by_id.clone());
        }
        // Requests that waited for a reading in vain do not each wait for their own.
        if failed.is_some_and(|at| at > came) {
            return Err(outbox::Error::invalid("the keys could not be read"));
        }
        let read = self.read(&copy).await;
        *failed = read.is_err().then(Instant::now);
        let read = Arc::new(read?);
        *self.copy.write().unwrap_or_else(PoisonError::into_inner) = read.clone();
        Ok(read.by_id.clone())
    }

    fn is_fresh(&self, copy: &Copied) -> bool {
        let age = copy.looked_at.map(|at| self.store.now() - at);
        let fresh = TimeDelta::from_std(FRESH).unwrap_or_default();
        age.is_some_and(|age| age >= TimeDelta::zero() && age < fresh)
    }

    async fn read(&self, before: &Copied) -> outbox::Result<Copied> {
        let looked_at = Some(self.store.now());
        let generation = Some(self.store.keys_generation().await?);
        let by_id = if generation == before.generation {
            before.by_id.clone()
        } else {
            Arc::new(self.store.known_keys().await?)
        };
        Ok(Copied {
            looked_at,
            generation,
            by_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_key_has_a_public_part_and_no_key_is_made_twice() {
        let (id, key) = make();
        let text = key.expose_secret();
        assert_eq!(public_part(text.as_bytes()), Some(id.as_str()));
        assert!(text.starts_with(&format!("mb_{id}_")), "{text}");
        assert_eq!(text.len(), 63);
        assert_ne!(make().1.expose_secret(), text);
        assert!(!format!("{key:?}").contains(&id));
    }

    proptest::proptest! {
        /// A mistyped key is found out without a look into the database.
        #[test]
        fn a_changed_letter_spoils_the_checksum(place in 0usize..57, letter in 0usize..62) {
            let body = "mb_AAAAAAAAAA_0123456789012345678901234567890123456789012";
            let key = format!("{body}{}", checksum(body));
            proptest::prop_assert_eq!(public_part(key.as_bytes()), Some("AAAAAAAAAA"));
            let mut other = key.clone().into_bytes();
            other[place] = ALPHABET[letter];
            proptest::prop_assert_eq!(public_part(&other).is_some(), other == key.as_bytes());
        }

        #[test]
        fn nothing_that_is_shown_causes_a_panic(shown: Vec<u8>) {
            proptest::prop_assert_eq!(public_part(&shown), None);
        }
    }

    #[rstest]
    #[case("")]
    #[case("mb_")]
    #[case("mb_é")]
    #[case("mb_AAAAAAAAAA_")]
    #[case("mb_AAAAAAAAAA_012345678901234567890123456789012345678901é000000")]
    #[case("the-key-of-the-settings")]
    fn other_texts_have_no_public_part(#[case] text: &str) {
        assert_eq!(public_part(text.as_bytes()), None);
    }

    #[rstest]
    #[case(&[Scope::EventsWrite], Scope::EventsWrite, true)]
    #[case(&[Scope::EventsWrite], Scope::EventsRead, false)]
    #[case(&[Scope::EventsRead, Scope::GroupsRead], Scope::GroupsRead, true)]
    #[case(&[Scope::SettingsWrite], Scope::Admin, false)]
    #[case(&[Scope::Admin], Scope::EventsWrite, true)]
    #[case(&[], Scope::EventsRead, false)]
    fn admin_includes_every_scope_and_no_other_includes_any(
        #[case] scopes: &[Scope],
        #[case] asked: Scope,
        #[case] allowed: bool,
    ) {
        let grant = Grant::new(scopes.iter().copied().collect(), None);
        assert_eq!(grant.allows(asked), allowed);
    }

    #[test]
    fn a_key_sees_its_schools_only() {
        let some = |ids: &[&str]| Some(ids.iter().map(|id| SchoolId::from(*id)).collect());
        let (all, own) = (
            Grant::everything(),
            Grant::new(BTreeSet::new(), some(&["A1", "A2"])),
        );
        assert!(all.sees(&"A3".into()) && own.sees(&"A2".into()) && !own.sees(&"A3".into()));
        assert!(own.sees_all_of(some(&["A2"]).as_ref()));
        assert!(!own.sees_all_of(some(&["A2", "A3"]).as_ref()) && !own.sees_all_of(None));
        assert!(all.sees_all_of(None));
    }

    #[test]
    fn a_scope_is_written_as_it_is_read() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }
}
