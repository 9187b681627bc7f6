//! The schools' connections to their MISs: opened when first needed, kept while fresh.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mis_core::{
    Ability, ConnectContext, Error, ErrorKind, Mis, Registry, RequestGate, RequestObserver, Result,
    SchoolId,
};
use mis_wonde::{
    Connection, Grants,
    wonde::{self, Client},
};
use secrecy::SecretString;
use tokio::sync::{Mutex, Notify};

use crate::{
    clock::SharedClock,
    lease::while_held,
    metrics,
    rate::Rates,
    settings::{Link, LiveSettings, School, SecretSource},
    usage::Requests,
};

/// How long a school's grants, region and MIS are used before they are read again: a day, because they hardly change and
/// every school needs them in the same half hour of the morning.
const CONNECTION_FRESH: TimeDelta = TimeDelta::hours(26);
/// The same where a permission is missing, after an error that a change may explain, and where a fresh connection is wanted.
const CONNECTION_DOUBTED: TimeDelta = TimeDelta::hours(1);

/// All schools of the settings.
#[derive(Debug)]
pub struct Schools {
    settings: LiveSettings,
    registry: Registry,
    clock: SharedClock,
    rates: Rates,
    requests: Arc<Requests>,
    /// By key of the token, with the generation of a sealed token.
    clients: StdMutex<HashMap<String, (Option<i64>, Client)>>,
    handles: StdMutex<HashMap<SchoolId, Arc<SchoolHandle>>>,
    slow: StdMutex<HashSet<String>>,
    /// The schools that are being examined.
    examined: Arc<StdMutex<HashSet<SchoolId>>>,
    /// Notified when a slow school may have answered.
    answered: Notify,
}

/// Marks schools as slow, because they keep a batch waiting longer than its other schools, until this is dropped.
#[derive(Debug)]
pub(crate) struct Slow {
    schools: Arc<Schools>,
    names: Vec<String>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        let mut slow = self
            .schools
            .slow
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slow.retain(|name| !self.names.contains(name));
        self.schools.answered.notify_one();
    }
}

/// A school that is being examined, until this is dropped.
#[derive(Debug)]
pub(crate) struct Examined {
    all: Arc<StdMutex<HashSet<SchoolId>>>,
    school: SchoolId,
}

impl Drop for Examined {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.school);
    }
}

/// One school's connection. The lock is held while it is opened, so concurrent callers open it once.
type SchoolHandle = Mutex<Option<Opened>>;

/// An open connection.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) since: DateTime<Utc>,
    basis: Basis,
    /// Whether the school's permissions were asked for.
    with_grants: bool,
    pub(crate) mis: Mis,
    /// The connection to Wonde, if the school is linked through it.
    wonde: Option<Connection>,
}

impl Opened {
    /// The school's permissions, if it is linked through Wonde.
    pub(crate) fn grants(&self) -> Option<Grants> {
        self.wonde.as_ref().map(Connection::grants)
    }

    /// The connection, if it is younger than the limit and the settings that it was opened by still rule.
    fn usable(&self, school: &School, now: DateTime<Utc>, limit: TimeDelta) -> Option<Self> {
        let usable = (now - self.since).abs() < limit && self.basis == Basis::of(school);
        usable.then(|| self.clone())
    }
}

/// What a connection takes from a school's settings.
///
/// It is compared when a connection is used again. A batch that began before the settings changed may open one by the
/// old settings after the change, so dropping connections at the change would not be enough.
#[derive(Clone, Debug, PartialEq)]
struct Basis {
    token: String,
    token_generation: Option<i64>,
    link: Option<Arc<Link>>,
    mis: Option<Arc<str>>,
    without: Arc<[Ability]>,
    timezone: Tz,
    session_times: (Option<NaiveTime>, Option<NaiveTime>),
}

impl Basis {
    fn of(school: &School) -> Self {
        Self {
            token: token_key(school),
            token_generation: token_generation(school),
            link: school.link.clone(),
            mis: school.mis.clone(),
            without: school.without.clone(),
            timezone: school.timezone,
            session_times: school.session_times(),
        }
    }
}

impl Schools {
    /// The schools of these settings.
    pub fn new(
        settings: LiveSettings,
        registry: Registry,
        clock: SharedClock,
        rates: Rates,
    ) -> Self {
        Self {
            settings,
            registry,
            clock,
            rates,
            requests: Arc::default(),
            clients: StdMutex::default(),
            handles: StdMutex::default(),
            slow: StdMutex::default(),
            examined: Arc::default(),
            answered: Notify::new(),
        }
    }

    /// The settings of a school that rule now.
    pub fn settings_of(&self, school: &str) -> Option<School> {
        let settings = self.settings.current();
        settings.school(&SchoolId::from(school)).cloned()
    }

    /// The school's MIS behind its guard, opened anew when it has grown old; sooner where a permission is missing, which
    /// somebody may be giving.
    ///
    /// # Errors
    /// Those of the opening.
    pub async fn mis(&self, school: &School) -> Result<Mis> {
        let limit = |opened: &Opened| match opened.grants() {
            Some(grants) if grants.forbid_writing() => CONNECTION_DOUBTED,
            _ => CONNECTION_FRESH,
        };
        Ok(self.open(school, true, limit).await?.mis)
    }

    /// A connection that is young enough to tell somebody what the school grants now.
    pub(crate) async fn opened(&self, school: &School) -> Result<Opened> {
        self.open(school, true, |_| CONNECTION_DOUBTED).await
    }

    /// The school's MIS for reading people and groups, which needs no permission to write. It is opened anew when it has grown
    /// old, or when a fresh one is wanted: a school that has moved to another region or MIS lists nobody. The sync does not
    /// believe that, and wants a fresh one at night, with the permissions that the marks of the day will need.
    ///
    /// # Errors
    /// Those of the opening.
    pub async fn reader(&self, school: &School, fresh: bool) -> Result<Mis> {
        let limit = if fresh {
            CONNECTION_DOUBTED
        } else {
            CONNECTION_FRESH
        };
        Ok(self.open(school, fresh, |_| limit).await?.mis)
    }

    /// The school's connection, or a new one if it is older than its limit or rests on other settings.
    async fn open(
        &self,
        school: &School,
        ask_grants: bool,
        limit: impl Fn(&Opened) -> TimeDelta,
    ) -> Result<Opened> {
        let handle = self.handle(&school.id);
        let mut open = handle.lock().await;
        let now = self.clock.now();
        let suffices = |opened: &&Opened| opened.with_grants || !ask_grants;
        let usable = |opened: &Opened| opened.usable(school, now, limit(opened));
        if let Some(opened) = open.as_ref().filter(suffices).and_then(usable) {
            return Ok(opened);
        }
        let earlier = open.as_ref().and_then(|opened| opened.wonde.as_ref());
        let (mis, wonde) = self.connect(school, ask_grants, earlier).await?;
        let opened = Opened {
            since: now,
            basis: Basis::of(school),
            with_grants: ask_grants,
            mis,
            wonde,
        };
        *open = Some(opened.clone());
        Ok(opened)
    }

    /// A school that is asked once, beside those of the settings: under another token, or in another MIS.
    ///
    /// # Errors
    /// Those of the opening.
    pub async fn other(&self, school: &School) -> Result<Mis> {
        let (mis, _) = self.connect(school, true, None).await?;
        Ok(mis)
    }

    async fn connect(
        &self,
        school: &School,
        ask_grants: bool,
        earlier: Option<&Connection>,
    ) -> Result<(Mis, Option<Connection>)> {
        let context = self.context(school, ask_grants);
        if let Some(link) = &school.link {
            let mis = self.registry.get(&link.adapter)?.connect(context).await?;
            return Ok((mis, None));
        }
        let client = self.client(school)?;
        let mut connection = Connection::open(&client, context).await?;
        if let Some(earlier) = earlier {
            connection = connection.succeeding(earlier);
        }
        let mis = connection.clone().connect(&self.registry).await?;
        Ok((mis, Some(connection)))
    }

    /// The adapters.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Notes that a school is being examined, until the answer is dropped. `None` if it is already.
    pub(crate) fn begin_to_examine(&self, school: &SchoolId) -> Option<Examined> {
        let mut examined = self.examined.lock().unwrap_or_else(PoisonError::into_inner);
        examined.insert(school.clone()).then(|| Examined {
            all: self.examined.clone(),
            school: school.clone(),
        })
    }

    pub(crate) fn context(&self, school: &School, ask_grants: bool) -> ConnectContext {
        let clock = self.clock.clone();
        let settings = self.settings.current();
        let lookback = settings.service.register_lookback.as_secs() / (24 * 60 * 60);
        let mut context = school.context();
        context.ask_grants = ask_grants;
        context.register_lookback = Days::new(lookback);
        context.now = Arc::new(move || clock.now());
        context.gate = self.gate(school);
        context.observer = self.observer(token_key(school));
        context
    }

    /// Counts each request with this token.
    fn observer(&self, token_key: String) -> RequestObserver {
        let requests = self.requests.clone();
        Arc::new(move |request| {
            metrics::asked(&token_key, request);
            requests.count(&token_key, request);
        })
    }

    /// The requests of this node that the database has not counted yet.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Every request for this school waits here, for the rate of its token and for the lease of the marks it carries.
    fn gate(&self, school: &School) -> RequestGate {
        while_held(self.rates.gate(&token_key(school)))
    }

    /// How much of its token's rate this node uses for the school's token: 0 for nothing, 1 for all of it.
    pub(crate) fn load(&self, school: &str) -> f64 {
        let settings = self.settings.current();
        settings
            .school(&SchoolId::from(school))
            .map_or(0.0, |school| self.rates.load(&token_key(school)))
    }

    /// Whether Wonde lets the application access the school; schools that are not linked through Wonde need no approval.
    ///
    /// # Errors
    /// Returns an error if Wonde cannot be asked.
    pub async fn is_approved(&self, school: &School) -> Result<bool> {
        if school.link.is_some() {
            return Ok(true);
        }
        let id = wonde::SchoolId::new(school.id.as_str());
        match self.client(school)?.meta(&id).await {
            Ok(meta) => Ok(meta.approved.unwrap_or(true)),
            Err(error)
                if matches!(
                    error.kind(),
                    wonde::ErrorKind::Forbidden | wonde::ErrorKind::NotFound
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(mis_wonde::error(error)),
        }
    }

    /// Whether Wonde accepts a token that is not in the settings for this school, which approves the application.
    ///
    /// # Errors
    /// Returns an error if Wonde cannot be asked.
    pub(crate) async fn opens(&self, school: &SchoolId, token: &SecretString) -> Result<bool> {
        let key = own_token_key(school);
        let gate = while_held(self.rates.gate(&key));
        let client = self.client_with(token.clone(), gate, key)?;
        match client.meta(&wonde::SchoolId::new(school.as_str())).await {
            Ok(meta) => Ok(meta.approved.unwrap_or(true)),
            Err(error)
                if matches!(
                    error.kind(),
                    wonde::ErrorKind::Unauthorized
                        | wonde::ErrorKind::Forbidden
                        | wonde::ErrorKind::NotFound
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(mis_wonde::error(error)),
        }
    }

    /// Forgets what is known of a school's MIS, so that it is asked for again: its grants or its MIS have changed.
    pub fn forget(&self, school: &SchoolId) {
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(school);
    }

    /// Has the school's connection opened anew when it is next needed, unless it is young, if a change of its region, MIS or
    /// grants may explain this error.
    pub(crate) fn doubt(&self, error: &Error, school: &SchoolId) {
        if error.kind() == ErrorKind::RateLimited {
            return;
        }
        let now = self.clock.now();
        let is_young = |opened: &Opened| (now - opened.since).abs() < CONNECTION_DOUBTED;
        // Whoever holds the lock is about to use a connection or is opening one, and meets the same error if it persists.
        if let Ok(mut open) = self.handle(school).try_lock() {
            *open = open.take().filter(is_young);
        }
    }

    /// Drops the school's connection, with its grants and codes, if it was opened before this time.
    pub(crate) async fn forget_before(&self, school: &SchoolId, at: DateTime<Utc>) {
        let handle = self.handle(school);
        let mut open = handle.lock().await;
        *open = open.take().filter(|opened| opened.since >= at);
    }

    /// The Wonde client with the school's token; schools with the same token share it.
    ///
    /// # Errors
    /// Returns an error if the token is not where the settings say, or the client cannot be built.
    pub fn client(&self, school: &School) -> Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = token_key(school);
        let generation = token_generation(school);
        if let Some((of, client)) = clients.get(&key)
            && *of == generation
        {
            return Ok(client.clone());
        }
        let token = school
            .token()
            .map_err(|error| Error::new(ErrorKind::Unauthorized, error.to_string()))?;
        let client = self.client_with(token, self.gate(school), key.clone())?;
        clients.insert(key, (generation, client.clone()));
        Ok(client)
    }

    fn client_with(&self, token: SecretString, gate: RequestGate, key: String) -> Result<Client> {
        Client::builder(token)
            .base_url(self.settings.current().service.wonde_url.as_str())
            .timeout(Duration::from_secs(30))
            .gate(mis_wonde::gate(gate))
            .observer(mis_wonde::observer(self.observer(key)))
            .build()
            .map_err(mis_wonde::error)
    }

    /// Drops all connections and tokens, so that each secret is read again when it is next needed.
    pub(crate) fn forget_all(&self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.clear();
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.clear();
    }

    /// Drops a token that Wonde rejected, and all connections that use it. The next request reads the token again, because
    /// it may have been replaced.
    pub fn forget_token(&self, school: &School) {
        let key = token_key(school);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.remove(&key).is_none() {
            return;
        }
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = self.settings.current();
        handles.retain(|id, _| {
            let other = settings.school(id);
            other.is_some_and(|other| token_key(other) != key)
        });
    }

    /// The schools that keep a worker of this node waiting.
    pub(crate) fn slow(&self) -> HashSet<String> {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.clone()
    }

    /// Waits until a slow school may have answered since the last call.
    pub(crate) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// Marks these schools as slow.
    pub(crate) fn waited_for(self: &Arc<Self>, names: Vec<String>) -> Slow {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.extend(names.iter().cloned());
        Slow {
            schools: self.clone(),
            names,
        }
    }

    fn handle(&self, school: &SchoolId) -> Arc<SchoolHandle> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.entry(school.clone()).or_default().clone()
    }
}

/// The generation in which a school's sealed token was set.
pub(crate) fn token_generation(school: &School) -> Option<i64> {
    school.token.as_ref()?.generation()
}

/// The throttle key that all schools of one token share: its rate limit or its loss pauses all of them. A school that is not
/// linked through Wonde has a key of its own.
pub fn token_key(school: &School) -> String {
    match &school.token {
        Some(SecretSource::Env(name)) => format!("token:env:{name}"),
        Some(SecretSource::File(path)) => format!("token:file:{}", path.display()),
        Some(SecretSource::Given(_) | SecretSource::Sealed(_)) | None => own_token_key(&school.id),
    }
}

/// The key of a token that is a school's own.
fn own_token_key(school: &SchoolId) -> String {
    format!("token:school:{school}")
}
