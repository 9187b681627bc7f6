//! The settings of the service itself: the top level of the file.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use toml::{Spanned, de::DeValue};
use url::{Host, Url};
use writeback::settings::LocalTime;

use super::{
    document::Document,
    feed::FeedSettings,
    findings::{Findings, InDocument, Place},
    http::Http,
    key::Key,
    pages::Pages,
    problem::Problem,
    secret::{self, SecretError, SecretSource},
    span, store_address,
    targets::TargetSettings,
};
use crate::seal::SealKeyPlaces;

/// The shortest key of the service's own API, in bytes.
const API_KEY_MIN: usize = 8;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The settings of the service itself. Each has a default. Durations are text: "500ms", "5m", "4h", "7d".
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Service {
    /// The address and port that the service listens on.
    pub listen: SocketAddr,
    /// The environment variable that holds the first bearer key for the service's own API, which may do everything. `serve`
    /// needs this or `api_key_file` until `markback keys add` has made another key.
    pub api_key_env: Option<String>,
    /// The file that holds the bearer key, relative to the settings file.
    pub api_key_file: Option<PathBuf>,
    /// The environment variable that holds the secret part of the address for Wonde's webhooks,
    /// `/webhooks/wonde/<secret>`. Without a secret webhooks are not accepted.
    pub webhook_secret_env: Option<String>,
    /// The file that holds that secret, relative to the settings file.
    pub webhook_secret_file: Option<PathBuf>,
    /// The database: `sqlite:markback.db`, relative to the settings file, `sqlite:///var/lib/markback/markback.db` or
    /// `postgres://user@host/name`, without a password.
    pub store: String,
    /// The environment variable that holds the database's address if that contains a password. It takes precedence over
    /// `store`.
    pub store_env: Option<String>,
    /// The environment variable that holds the key for the tokens and the webhook endpoints' secrets that the database keeps:
    /// 32 bytes in Base64. This or `seal_key_file`; without them no token is kept, and secrets of endpoints are not sealed.
    pub seal_key_env: Option<String>,
    /// The file that holds that key, relative to the settings file.
    pub seal_key_file: Option<PathBuf>,
    /// The environment variable that holds the key before it. It opens tokens and secrets until `markback token reseal` has
    /// sealed them with the present one.
    pub seal_key_before_env: Option<String>,
    /// The file that holds the key before it, relative to the settings file.
    pub seal_key_before_file: Option<PathBuf>,
    /// The base address of Wonde's API. Only tests and demonstrations need another.
    #[schemars(with = "String", extend("format" = "uri"))]
    pub wonde_url: Url,
    /// The list of further schools, for very large numbers: a CSV file with a line for each, relative to the settings
    /// file. Its columns: `id`, `name`, `template`, `mis`, `timezone`, `token_env`, `token_file`.
    pub schools_file: Option<PathBuf>,
    /// The oldest event that is accepted.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub accept_age: Duration,
    /// How far in the future an event may be, because clocks differ.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub future_tolerance: Duration,
    /// How marks for one school are gathered into one register.
    pub gather: Gather,
    /// How long a register that was read from Wonde is used before it is read again.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub register_window: Duration,
    /// How far back registers are read. Wonde filters registers by time of change, and offices enter absences a term
    /// ahead. Everything changed since then is read once, and once every night.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub register_lookback: Duration,
    /// How long to wait for the outcome of a write before the mark counts as unconfirmed.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub confirm_within: Duration,
    /// How long final events are kept; they hold pupils' data.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub retention: Duration,
    /// How long failed, rejected and unconfirmed events without a decision are kept. At least `retention`.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub retention_undecided: Duration,
    /// How long the audit log is kept: who changed what, and who looked at a person. By default a year and a month, so that a
    /// question about a school year can be answered after its end. A day or more.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub retention_audit: Duration,
    /// How the service's API treats slow clients.
    pub http: Http,
    /// How long the feed is kept, and how many may follow it.
    pub feed: FeedSettings,
    /// Whether a version of settings in the database is activated by somebody else than its author. Going back to a version
    /// that has ruled needs nobody else.
    pub four_eyes: bool,
    /// The pages for people, and how long they stay signed in.
    pub pages: Pages,
    /// Which addresses the service may call when somebody tells it to, as for webhooks.
    pub targets: TargetSettings,
    /// How the workers work. The defaults fit; tests use shorter times.
    pub workers: WorkerSettings,
    /// The most requests a minute to Wonde with one token.
    pub rate_per_minute: NonZeroU32,
    /// How the schools' people are read.
    pub sync: SyncSettings,
    /// The settings file.
    #[serde(skip)]
    pub(super) path: PathBuf,
    /// Its folder.
    #[serde(skip)]
    pub(super) folder: PathBuf,
    #[serde(skip)]
    pub(super) api_key: Option<SecretSource>,
    #[serde(skip)]
    pub(super) webhook_secret: Option<SecretSource>,
    #[serde(skip)]
    pub(super) seal_keys: Arc<SealKeyPlaces>,
}

/// How marks for one school are gathered into one register.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Gather {
    /// The longest that a mark waits for others, counted from when its event was received. The first mark of a quiet
    /// school goes at once; after that the wait grows with the number of marks and with how busy the token is, and
    /// shrinks again. Wonde passes marks on within minutes, and each saved request is available to others with the same
    /// token.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub window: Duration,
    /// The most marks in one register, up to 400. A register that the MIS refuses later is sent again mark by mark.
    pub max: NonZeroUsize,
}

/// How the schools' people and groups are read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
#[schemars(rename = "Sync")]
pub struct SyncSettings {
    /// How often changes are read.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub every: Duration,
    /// When everything is read, once a day, in each school's time zone. Schools begin one after the other within the
    /// next hour.
    pub nightly: LocalTime,
    /// How much further back than the last sync changes are read, because Wonde renews its copy of the MIS every hour
    /// or two.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub overlap: Duration,
    /// The percentage of a group, or of all people of its kind, that may leave at once without a known cause. More is
    /// held back until a person accepts it.
    #[schemars(range(max = 100))]
    pub max_shrink: u8,
    /// Fewer people than this may leave a group of any size at once, as long as somebody stays.
    pub at_least: u32,
    /// The percentage of records of a kind of people that may contain unreadable values. Such values are skipped and
    /// reported; above this nothing of the kind is applied until a person accepts it.
    #[schemars(range(max = 100))]
    pub max_unread: u8,
    /// How long the data of a leaver is kept, in whole days.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub keep_former: Duration,
    /// How long events may use ids from before a re-enrolment or a change of the MIS, in whole days; as long as the
    /// person is known when left out. The id in the groups is always accepted.
    #[serde(deserialize_with = "span::optional")]
    #[schemars(schema_with = "span::schema")]
    pub former_ids: Option<Duration>,
    /// The most schools read at the same time.
    pub at_once: NonZeroUsize,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30 * MINUTE),
            nightly: "02:30".into(),
            overlap: Duration::from_secs(4 * HOUR),
            max_shrink: 20,
            at_least: 5,
            max_unread: 20,
            keep_former: Duration::from_secs(30 * DAY),
            former_ids: None,
            at_once: NonZeroUsize::MIN.saturating_add(3),
        }
    }
}

/// How the workers work. The defaults fit; tests use shorter times.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// The longest wait of an idle worker before it looks for jobs again.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub poll: Duration,
    /// How long a claimed job is leased. A dead node's jobs are taken over after that.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub lease: Duration,
    /// How soon at the earliest a writeback is asked about, before it is known how long the school's MIS takes; each
    /// further wait doubles.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub confirm_after: Duration,
    /// The longest time between two looks at a school's writebacks. While webhooks come it is three times as long, unless they
    /// tell of a failure, or of all writebacks as done.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub confirm_at_least_every: Duration,
    /// How long to wait for Wonde's answer about a writeback before the register is read back as well.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub read_back_after: Duration,
    /// How long to wait after an unanswered request before the register is read.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub look_after: Duration,
    /// The oldest decision that is sent without reading the register again.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub plan_fresh: Duration,
    /// The longest first wait after Wonde failed; doubled with each further attempt.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub backoff: Duration,
    /// No such wait is longer.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub backoff_max: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            lease: Duration::from_secs(20),
            confirm_after: Duration::from_secs(15),
            confirm_at_least_every: Duration::from_secs(5 * MINUTE),
            read_back_after: Duration::from_secs(2 * MINUTE),
            look_after: Duration::from_secs(MINUTE),
            plan_fresh: Duration::from_secs(5 * MINUTE),
            backoff: Duration::from_secs(2),
            backoff_max: Duration::from_secs(5 * MINUTE),
        }
    }
}

impl WorkerSettings {
    /// These settings with those of others that say when Wonde is asked.
    fn with_pace_of(&self, others: &Self) -> Self {
        Self {
            confirm_after: others.confirm_after,
            confirm_at_least_every: others.confirm_at_least_every,
            ..*self
        }
    }
}

impl Service {
    /// The bearer key for the service's own API.
    ///
    /// # Errors
    /// Returns an error if it is not where the settings say, they do not say, or it is so short that it can be guessed.
    pub fn api_key(&self) -> Result<SecretString, SecretError> {
        let source = self.api_key.as_ref().ok_or(SecretError::NotNamed)?;
        let key = source.read()?;
        if key.expose_secret().len() < API_KEY_MIN {
            return Err(SecretError::Short {
                place: source.to_string(),
                min: API_KEY_MIN,
            });
        }
        Ok(key)
    }

    /// Sets the bearer key, instead of the settings file.
    pub fn set_api_key(&mut self, source: SecretSource) {
        self.api_key = Some(source);
    }

    /// The secret part of the webhooks' address; `None` if the settings name none, and webhooks are not accepted.
    ///
    /// # Errors
    /// Returns an error if it is not where the settings say.
    pub fn webhook_secret(&self) -> Result<Option<SecretString>, SecretError> {
        self.webhook_secret
            .as_ref()
            .map(SecretSource::read)
            .transpose()
    }

    /// The address of the database for display: the absolute path of a file, and no password.
    pub fn store_told(&self) -> String {
        match (self.store_as_given(), &self.store_env) {
            (Ok(address), _) => store_address::told(address.expose_secret(), &self.folder),
            (Err(_), Some(name)) => format!("that the environment variable {name} names"),
            (Err(_), None) => self.store.clone(),
        }
    }

    /// The address of the database, with its password and with the absolute path of a file.
    ///
    /// # Errors
    /// Returns an error if `store_env` names a variable that is not set.
    pub fn store_url(&self) -> Result<SecretString, SecretError> {
        let address = self.store_as_given()?;
        Ok(store_address::absolute(address.expose_secret(), &self.folder).into())
    }

    /// The database file; `None` for other databases.
    ///
    /// # Errors
    /// Returns an error like [`Service::store_url`].
    pub fn store_file(&self) -> Result<Option<PathBuf>, SecretError> {
        let address = self.store_as_given()?;
        Ok(store_address::file(address.expose_secret(), &self.folder))
    }

    /// An existing database in the current directory, if the settings name one that does not exist. Paths used to be
    /// relative to that directory, and a new, empty database must not replace it unnoticed.
    ///
    /// # Errors
    /// Returns an error like [`Service::store_url`].
    pub fn misplaced_store(&self) -> Result<Option<PathBuf>, SecretError> {
        let address = self.store_as_given()?;
        let here = store_address::file(address.expose_secret(), Path::new(""));
        let named = store_address::file(address.expose_secret(), &self.folder);
        Ok(here.filter(|here| {
            here.exists() && named.is_some_and(|named| named != *here && !named.exists())
        }))
    }

    /// Whether the key for the tokens that the database keeps can be read.
    ///
    /// # Errors
    /// Returns an error if the settings name no key, or it is not there or is none.
    pub fn check_seal_key(&self) -> Result<(), SecretError> {
        self.seal_keys.read().present().map(|_| ())
    }

    /// Whether the settings name a key for the tokens that the database keeps.
    pub fn names_seal_key(&self) -> bool {
        self.seal_keys.present.is_some()
    }

    /// The places of the keys for the tokens that the database keeps.
    pub(crate) fn seal_keys(&self) -> &Arc<SealKeyPlaces> {
        &self.seal_keys
    }

    /// The settings file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// These settings with what others say that needs no restart: the files from which schools are read, how marks are
    /// gathered, and when Wonde is asked about them.
    pub(crate) fn followed_by(&self, others: &Self) -> Self {
        Self {
            schools_file: others.schools_file.clone(),
            path: others.path.clone(),
            gather: others.gather,
            workers: self.workers.with_pace_of(&others.workers),
            ..self.clone()
        }
    }

    /// The keys whose values differ in other settings. They need a restart.
    pub(crate) fn differences(&self, others: &Self) -> Vec<&'static str> {
        let others = Self {
            workers: others.workers.with_pace_of(&self.workers),
            ..others.clone()
        };
        let (own, others) = (self.lasting(), others.lasting());
        own.into_iter()
            .zip(others)
            .filter(|((_, own), (_, other))| own != other)
            .map(|((key, _), _)| key)
            .collect()
    }

    /// The values that stay as they were at the start, by key.
    fn lasting(&self) -> Vec<(&'static str, String)> {
        // Named one by one, so that a new setting cannot be forgotten here.
        let Self {
            listen,
            api_key_env,
            api_key_file,
            webhook_secret_env,
            webhook_secret_file,
            store,
            store_env,
            seal_key_env,
            seal_key_file,
            seal_key_before_env,
            seal_key_before_file,
            wonde_url,
            accept_age,
            future_tolerance,
            gather: _,
            register_window,
            register_lookback,
            confirm_within,
            retention,
            retention_undecided,
            retention_audit,
            http,
            feed,
            four_eyes,
            pages,
            targets,
            workers,
            rate_per_minute,
            sync,
            schools_file: _,
            path: _,
            folder: _,
            api_key: _,
            webhook_secret: _,
            seal_keys: _,
        } = self;
        vec![
            ("listen", format!("{listen:?}")),
            ("api_key_env", format!("{api_key_env:?}")),
            ("api_key_file", format!("{api_key_file:?}")),
            ("webhook_secret_env", format!("{webhook_secret_env:?}")),
            ("webhook_secret_file", format!("{webhook_secret_file:?}")),
            ("store", format!("{store:?}")),
            ("store_env", format!("{store_env:?}")),
            ("seal_key_env", format!("{seal_key_env:?}")),
            ("seal_key_file", format!("{seal_key_file:?}")),
            ("seal_key_before_env", format!("{seal_key_before_env:?}")),
            ("seal_key_before_file", format!("{seal_key_before_file:?}")),
            ("wonde_url", format!("{wonde_url:?}")),
            ("accept_age", format!("{accept_age:?}")),
            ("future_tolerance", format!("{future_tolerance:?}")),
            ("register_window", format!("{register_window:?}")),
            ("register_lookback", format!("{register_lookback:?}")),
            ("confirm_within", format!("{confirm_within:?}")),
            ("retention", format!("{retention:?}")),
            ("retention_undecided", format!("{retention_undecided:?}")),
            ("retention_audit", format!("{retention_audit:?}")),
            ("http", format!("{http:?}")),
            ("feed", format!("{feed:?}")),
            ("four_eyes", four_eyes.to_string()),
            ("pages", format!("{pages:?}")),
            ("targets", format!("{targets:?}")),
            ("workers", format!("{workers:?}")),
            ("rate_per_minute", format!("{rate_per_minute:?}")),
            ("sync", format!("{sync:?}")),
        ]
    }

    fn store_as_given(&self) -> Result<SecretString, SecretError> {
        match &self.store_env {
            Some(name) => SecretSource::Env(name.as_str().into()).read(),
            None => Ok(self.store.clone().into()),
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8350).into(),
            api_key_env: None,
            api_key_file: None,
            webhook_secret_env: None,
            webhook_secret_file: None,
            store: "sqlite:markback.db".to_owned(),
            store_env: None,
            seal_key_env: None,
            seal_key_file: None,
            seal_key_before_env: None,
            seal_key_before_file: None,
            wonde_url: wonde_api(),
            schools_file: None,
            accept_age: Duration::from_secs(7 * DAY),
            future_tolerance: Duration::from_secs(5 * MINUTE),
            gather: Gather::default(),
            register_window: Duration::from_secs(5 * MINUTE),
            register_lookback: Duration::from_secs(120 * DAY),
            confirm_within: Duration::from_secs(4 * HOUR),
            retention: Duration::from_secs(90 * DAY),
            retention_undecided: Duration::from_secs(365 * DAY),
            retention_audit: Duration::from_secs(396 * DAY),
            http: Http::default(),
            feed: FeedSettings::default(),
            four_eyes: false,
            pages: Pages::default(),
            targets: TargetSettings::default(),
            workers: WorkerSettings::default(),
            rate_per_minute: NonZeroU32::MIN.saturating_add(599),
            sync: SyncSettings::default(),
            path: PathBuf::new(),
            folder: PathBuf::new(),
            api_key: None,
            webhook_secret: None,
            seal_keys: Arc::default(),
        }
    }
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(MINUTE),
            max: NonZeroUsize::MIN.saturating_add(399),
        }
    }
}

/// Reads the top level of the file without its lists of schools and templates.
pub(super) fn read(
    document: &Document<'_>,
    path: &Path,
    findings: &mut Findings,
) -> Option<Service> {
    let DeValue::Table(all) = document.root().get_ref() else {
        return None;
    };
    let own = all
        .iter()
        .filter(|(key, _)| !LISTS.contains(&key.get_ref().as_ref()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let own = Spanned::new(document.root().span(), DeValue::Table(own));
    let mut service: Service = document.read(&Key::default(), &own, &mut findings.problems)?;
    service.check(document, path, findings);
    Some(service)
}

/// The parts of the top level besides the settings of the service.
const LISTS: [&str; 2] = ["school", "template"];

impl SyncSettings {
    fn check(&self, place: &dyn Place) -> Vec<Problem> {
        let flaws = [
            (
                self.every < Duration::from_secs(MINUTE),
                "sync.every",
                "this is too often: Wonde's copy is updated every hour or two",
                "write a minute or more, such as \"30m\"",
            ),
            (
                self.nightly.parse().is_none(),
                "sync.nightly",
                "this is not a time of day",
                "write hours and minutes, such as \"02:30\"",
            ),
            (
                self.max_shrink > 100,
                "sync.max_shrink",
                "a list cannot shrink by more than 100 per cent",
                "write a percentage from 0 to 100",
            ),
            (
                self.max_unread > 100,
                "sync.max_unread",
                "no more than 100 per cent of the records can be unreadable",
                "write a percentage from 0 to 100",
            ),
        ];
        flaws
            .into_iter()
            .filter(|(flawed, ..)| *flawed)
            .map(|(_, key, message, help)| place.problem(key, message, help))
            .collect()
    }
}

impl Service {
    fn check(&mut self, document: &Document<'_>, path: &Path, findings: &mut Findings) {
        let place = InDocument {
            document,
            key: Key::default(),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        self.path = path.to_owned();
        self.folder = folder.to_owned();
        if let Some(list) = &mut self.schools_file {
            *list = folder.join(&*list);
        }
        let (env, file) = (self.api_key_env.clone(), self.api_key_file.clone());
        let (source, problem) = secret::source(&place, folder, "api_key", env, file);
        if source.is_none() && problem.is_none() {
            findings.hints.push(place.problem(
                "api_key_env",
                "the place of the API key is missing, so `serve` will not start",
                "add `api_key_env = \"…\"` with the name of an environment variable",
            ));
        }
        self.api_key = source;
        findings.problems.extend(problem);
        let (env, file) = (
            self.webhook_secret_env.clone(),
            self.webhook_secret_file.clone(),
        );
        let (source, problem) = secret::source(&place, folder, "webhook_secret", env, file);
        self.webhook_secret = source;
        findings.problems.extend(problem);
        self.check_seal_keys(&place, folder, findings);
        if self.retention < self.accept_age {
            findings.hints.push(place.problem(
                "retention",
                "it is shorter than `accept_age`, so an event that is sent again after its removal is accepted again",
                "keep events at least as long as `accept_age`",
            ));
        }
        if self.retention_audit < Duration::from_secs(DAY) {
            findings.problems.push(place.problem(
                "retention_audit",
                "this is so short that nobody could look anything up in the audit log",
                "write a day or more, such as \"396d\"",
            ));
        }
        if self.retention_undecided < self.retention {
            findings.hints.push(place.problem(
                "retention_undecided",
                "it is shorter than `retention`, which applies to these events too",
                "keep unsettled events at least as long as all others",
            ));
        }
        let lookback = Duration::from_secs(7 * DAY)..=Duration::from_secs(366 * DAY);
        if !lookback.contains(&self.register_lookback) {
            findings.problems.push(place.problem(
                "register_lookback",
                "this is not a time in which a school enters marks ahead",
                "write a term or a little more, from \"7d\" to \"366d\"",
            ));
        }
        findings.problems.extend(self.check_store(&place));
        self.check_wonde_url(&place, findings);
        findings.problems.extend(self.http.check(&place));
        findings.problems.extend(self.feed.check(&place));
        findings.problems.extend(self.pages.check(&place));
        findings.problems.extend(self.sync.check(&place));
    }

    fn check_seal_keys(&mut self, place: &dyn Place, folder: &Path, findings: &mut Findings) {
        let mut source = |name, env: &Option<String>, file: &Option<PathBuf>| {
            let (source, problem) = secret::source(place, folder, name, env.clone(), file.clone());
            findings.problems.extend(problem);
            source
        };
        self.seal_keys = Arc::new(SealKeyPlaces {
            present: source("seal_key", &self.seal_key_env, &self.seal_key_file),
            before: source(
                "seal_key_before",
                &self.seal_key_before_env,
                &self.seal_key_before_file,
            ),
        });
    }

    fn check_store(&self, place: &dyn Place) -> Option<Problem> {
        if self
            .store_env
            .as_deref()
            .is_some_and(|name| !secret::is_variable_name(name))
        {
            return Some(place.problem(
                "store_env",
                "this is not the name of an environment variable",
                "write its name in capital letters, digits and `_`",
            ));
        }
        let postgres = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| self.store.starts_with(scheme));
        if !postgres && !self.store.starts_with("sqlite:") {
            return Some(place.problem(
                "store",
                "this is not the address of a database",
                "write \"sqlite:markback.db\" or \"postgres://user@host/name\"",
            ));
        }
        if store_address::names_no_file(&self.store) {
            return Some(place.problem(
                "store",
                "no file is named",
                "write \"sqlite:markback.db\", or the whole path as \"sqlite:///var/lib/markback/markback.db\"",
            ));
        }
        let has_password = Url::parse(&self.store).is_ok_and(|url| {
            url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password")
        });
        (postgres && has_password).then(|| {
            place.problem(
                "store",
                "there is a password in it",
                "put the whole address into an environment variable and name it in `store_env`, or set PGPASSWORD",
            )
        })
    }

    fn check_wonde_url(&self, place: &dyn Place, findings: &mut Findings) {
        let local = match self.wonde_url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match self.wonde_url.scheme() {
            "https" => {}
            "http" if local => {}
            "http" => findings.hints.push(place.problem(
                "wonde_url",
                "the token is sent unencrypted to this address",
                "use https for everything except a sandbox",
            )),
            _ => findings.problems.push(place.problem(
                "wonde_url",
                "this is not the address of a web service",
                "omit it, or write one that begins with https://",
            )),
        }
    }
}

fn wonde_api() -> Url {
    #[expect(clippy::expect_used, reason = "a constant, and a test reads it")]
    Url::parse("https://api.wonde.com/v1.0").expect("Wonde's address is one")
}
