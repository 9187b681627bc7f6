//! The settings: one TOML file, read as a whole, with all problems reported at once.

mod bodies;
mod calendar;
mod document;
mod feed;
mod file;
mod findings;
mod groups;
mod http;
mod import;
mod key;
mod layers;
mod list;
mod live;
mod pages;
mod problem;
mod resolve;
mod schema;
mod schools;
mod secret;
mod service;
mod session_times;
mod span;
mod store_address;
mod targets;
mod text;
mod version;
mod words;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use mis_core::{Ability, ConnectContext, Error, ErrorKind, SchoolId, same_text};
use roster::{IdKind, Membership};
use secrecy::SecretString;
use writeback::{
    Rules,
    settings::{Field, GroupKind, WritebackSettings},
};

use self::schools::Templates;
pub(crate) use self::{
    bodies::{Body, as_entry},
    import::{Imported, bodies_of_file, import_from},
    layers::Layers,
};
use crate::calendar::Calendar;

pub use self::{
    feed::FeedSettings,
    http::{ANSWER_AT_MOST, Http},
    live::LiveSettings,
    pages::Pages,
    problem::{Hint, LoadError, Problem},
    schema::schema,
    secret::{SecretError, SecretSource},
    service::{Gather, Service, SyncSettings, WorkerSettings},
    targets::TargetSettings,
    text::{school_from_text, template_from_text},
    version::{NoVersion, Owner, Revision, SettingsVersion},
    words::nearest,
};

/// All settings, checked.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The settings of the service itself.
    pub service: Service,
    /// The schools, in the order of the file.
    pub schools: Vec<School>,
    by_id: HashMap<SchoolId, usize>,
    templates: Arc<Templates>,
}

/// Valid settings, with hints about possible mistakes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Possible mistakes.
    pub hints: Vec<Hint>,
    /// The text that they were read from.
    pub(crate) text: Arc<str>,
    /// The text of the list of schools that it names.
    pub(crate) list_text: Option<Arc<str>>,
}

/// Why sealed tokens cannot be used.
#[derive(Debug)]
pub(crate) struct SealedUnread {
    pub(crate) error: SecretError,
    /// How many schools need them.
    pub(crate) schools: usize,
    /// The first of these schools.
    pub(crate) first: SchoolId,
}

/// The longest name of a school, in characters.
pub(crate) const TITLE_MAX: usize = 100;

/// A school. Cheap to clone: schools share what they have in common.
#[derive(Clone)]
#[non_exhaustive]
pub struct School {
    /// Its id at Wonde.
    pub id: SchoolId,
    /// Its name, for people.
    pub name: Option<Arc<str>>,
    /// The version of its settings, and with it who keeps them.
    pub version: SettingsVersion,
    /// The name of its template, if it has one.
    pub template: Option<Arc<str>>,
    /// Its MIS by name; `None` asks Wonde.
    pub mis: Option<Arc<str>>,
    /// Its time zone.
    pub timezone: Tz,
    /// The source of its token for Wonde; `None` if it has another link.
    pub token: Option<SecretSource>,
    /// How its MIS is reached, if not through Wonde.
    pub link: Option<Arc<Link>>,
    /// Abilities of the MIS that are not used at this school.
    pub without: Arc<[Ability]>,
    /// How its people are identified.
    pub persons: Persons,
    /// On which days it is open; `None` if only its groups' settings say so.
    pub calendar: Option<Arc<Calendar>>,
    /// Its groups. A person belongs to the first that takes them.
    pub groups: Arc<[Group]>,
}

/// How the MIS of a school is reached that is not linked through Wonde.
///
/// `Debug` does not show the adapter's settings: an operator may have put a secret there by mistake.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// The id of the adapter.
    pub adapter: String,
    /// The adapter's own settings, an object.
    pub settings: serde_json::Value,
    /// The folder of the settings file, for relative paths.
    pub folder: PathBuf,
    /// The MIS by name, if the adapter is linked into this program.
    pub(crate) name: Option<Arc<str>>,
}

/// How people of a school are identified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Persons {
    /// The kinds of id by which events may name people, in order of precedence.
    pub by: Arc<[IdKind]>,
    /// Whether contacts whose names and whose email address or mobile agree are one person.
    pub same_parent: bool,
}

/// A group of people at a school.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// Its name, unique within the school.
    pub name: String,
    /// The kind of its people.
    pub kind: GroupKind,
    /// Its members.
    pub membership: Membership,
    /// What the screen says to its people.
    pub message: Option<String>,
    /// What the screen asks them.
    pub fields: Vec<Field>,
    /// The writeback settings in the file.
    pub writeback: Option<WritebackSettings>,
    /// The rules made of them; `None` if nothing is written back.
    pub rules: Option<Arc<Rules>>,
}

/// Reads and checks a settings file, and the list of schools if it names one. Secrets are not fetched.
///
/// # Errors
/// Returns an error if a file cannot be read, or with all problems if it is invalid.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let text = crate::text::read_file(path).map_err(|why| LoadError::Read {
        path: path.to_owned(),
        why,
    })?;
    from_text(path, &text)
}

/// Checks settings from a text. Problems name the path, and relative paths start from its folder.
///
/// # Errors
/// Returns an error like [`load`].
pub fn from_text(path: &Path, text: &str) -> Result<Loaded, LoadError> {
    resolve::resolve(path, crate::text::without_bom(text), None)
}

/// Checks settings whose list of schools, if they name one, has this text instead of that of its file.
///
/// # Errors
/// Returns an error like [`load`].
pub(crate) fn from_texts(path: &Path, text: &str, list: Option<&str>) -> Result<Loaded, LoadError> {
    resolve::resolve(path, crate::text::without_bom(text), list)
}

/// The settings of the service alone, as far as a settings file with problems still says them: they stand before its
/// first table. `None` if they do not hold themselves.
pub fn service_of_head(path: &Path, text: &str) -> Option<Settings> {
    let text = crate::text::without_bom(text);
    let lines = text.split_inclusive('\n');
    let head: String = lines
        .take_while(|line| !line.trim_start().starts_with('['))
        .filter(|line| !line.trim_start().starts_with("schools_file"))
        .collect();
    let loaded = from_text(path, &head).ok()?;
    Some(loaded.settings)
}

impl Settings {
    /// Creates settings. Of two schools with the same id the first is found.
    pub fn new(service: Service, schools: Vec<School>) -> Self {
        let mut by_id = HashMap::with_capacity(schools.len());
        for (at, school) in schools.iter().enumerate() {
            by_id.entry(school.id.clone()).or_insert(at);
        }
        Self {
            service,
            schools,
            by_id,
            templates: Arc::default(),
        }
    }

    /// These settings without the schools and templates that the database keeps.
    pub(crate) fn of_file(mut self) -> Self {
        let of_file = |revision: Revision| revision.owner() == Owner::File;
        if self.templates.values().any(|one| !of_file(one.revision)) {
            let mut templates = (*self.templates).clone();
            templates.retain(|_, one| of_file(one.revision));
            self.templates = Arc::new(templates);
        }
        if self.schools.iter().any(|one| !of_file(one.version.own)) {
            self.schools.retain(|one| of_file(one.version.own));
            let templates = self.templates.clone();
            self = Self {
                templates,
                ..Self::new(self.service, self.schools)
            };
        }
        self
    }

    /// The tokens that are not where the settings say, each once, with the number of schools that need it.
    pub fn absent_tokens(&self) -> Vec<(SecretError, usize)> {
        let mut schools: BTreeMap<String, (&SecretSource, usize)> = BTreeMap::new();
        let places = self.schools.iter().filter_map(|one| one.token.as_ref());
        for source in places.filter(|one| !matches!(one, SecretSource::Sealed(_))) {
            schools.entry(source.to_string()).or_insert((source, 0)).1 += 1;
        }
        let absent = schools
            .into_values()
            .filter_map(|(source, schools)| Some((source.read().err()?, schools)));
        let sealed = self.sealed_tokens_unread().into_values();
        absent
            .chain(sealed.map(|unread| (unread.error, unread.schools)))
            .collect()
    }

    /// Why schools of the database have no token that can be used, by the words of the reason.
    pub(crate) fn sealed_tokens_unread(&self) -> BTreeMap<String, SealedUnread> {
        let keys = self.service.seal_keys().read();
        let mut unread: BTreeMap<String, SealedUnread> = BTreeMap::new();
        for school in &self.schools {
            let Some(SecretSource::Sealed(token)) = &school.token else {
                continue;
            };
            if let Err(error) = token.read_with(&keys) {
                let new = |error| SealedUnread {
                    error,
                    schools: 0,
                    first: school.id.clone(),
                };
                let words = error.to_string();
                unread.entry(words).or_insert_with(|| new(error)).schools += 1;
            }
        }
        unread
    }

    /// Hints about calendars whose last term is over on this day, or ends within a month. `file` names the settings.
    pub fn calendars_that_run_out(&self, today: NaiveDate, file: &Path) -> Vec<Hint> {
        let calendars = self
            .schools
            .iter()
            .filter_map(|one| one.calendar.as_deref());
        calendar::that_run_out(calendars, today, file)
    }

    /// Reads the iCalendar files, and returns a hint for each that cannot be read or has closures that are not taken. `file`
    /// names the settings.
    pub fn ical_files(&self, file: &Path) -> Vec<Hint> {
        let calendars = self
            .schools
            .iter()
            .filter_map(|one| one.calendar.as_deref());
        calendar::ical_files(calendars, file)
    }

    /// The school with this id.
    pub fn school(&self, id: &SchoolId) -> Option<&School> {
        self.schools.get(*self.by_id.get(id)?)
    }
}

impl School {
    /// Its token for Wonde.
    ///
    /// # Errors
    /// Returns an error if it is not where the settings say, or the school has another link.
    pub fn token(&self) -> Result<SecretString, SecretError> {
        match &self.token {
            Some(source) => source.read(),
            None => Err(SecretError::NotThroughWonde),
        }
    }

    /// Whether the database should have its token and has none.
    pub(crate) fn lacks_token(&self) -> bool {
        matches!(&self.token, Some(SecretSource::Sealed(token)) if !token.is_set())
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| same_text(&group.name, name))
    }

    /// Its name, or its id where the settings have none.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id.as_str())
    }

    /// When the morning and the afternoon session begin, on which the school's groups agree. `None` if no group says
    /// so.
    pub fn session_times(&self) -> (Option<NaiveTime>, Option<NaiveTime>) {
        let rules = || self.groups.iter().filter_map(Group::rules_of_students);
        let morning = rules().find_map(Rules::am_opens);
        (morning, rules().next().map(Rules::pm_opens))
    }

    /// The context of a connection to this school, as far as the settings determine it.
    pub fn context(&self) -> ConnectContext {
        let mut context = ConnectContext::new(self.id.clone());
        let (morning_from, afternoon_from) = self.session_times();
        context.mis = self.mis.as_deref().map(str::to_owned);
        context.timezone = Some(self.timezone);
        context.without = self.without.to_vec();
        context.morning_from = morning_from;
        if let Some(afternoon_from) = afternoon_from {
            context.afternoon_from = afternoon_from;
        }
        if let Some(link) = &self.link {
            context.link = link.settings.clone();
            context.folder.clone_from(&link.folder);
            let link = link.clone();
            context.secrets = Arc::new(move |name| link.secret(name));
        }
        context
    }
}

impl Link {
    /// Reads a secret from the place that `<name>_env` or `<name>_file` names.
    fn secret(&self, name: &str) -> mis_core::Result<SecretString> {
        let place = |kind: &str| self.settings.get(format!("{name}_{kind}"))?.as_str();
        let source = match (place("env"), place("file")) {
            (Some(variable), _) => SecretSource::Env(variable.into()),
            (None, Some(path)) => SecretSource::File(self.folder.join(path).into()),
            (None, None) => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "the link names no secret `{name}`; set `{name}_env` or `{name}_file` in it"
                    ),
                ));
            }
        };
        source
            .read()
            .map_err(|error| Error::new(ErrorKind::Unauthorized, error.to_string()))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("adapter", &self.adapter)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The roster settings of a school.
    pub fn roster(&self, school: &School) -> roster::Settings {
        let sync = &self.service.sync;
        let days = sync.keep_former.as_secs() / (24 * 60 * 60);
        roster::Settings {
            groups: school.groups.iter().map(Group::as_roster).collect(),
            guard: roster::Guard {
                max_shrink: sync.max_shrink,
                at_least: sync.at_least,
            },
            keep: roster::Keep {
                overlap: TimeDelta::from_std(sync.overlap).unwrap_or(TimeDelta::MAX),
                former_days: u16::try_from(days).unwrap_or(u16::MAX),
            },
            persons: roster::Persons {
                numbers: school
                    .persons
                    .by
                    .iter()
                    .filter_map(|by| by.property())
                    .collect(),
                same_parent: school.persons.same_parent,
                former_id_days: sync
                    .former_ids
                    .map(|time| u16::try_from(time.as_secs() / (24 * 60 * 60)).unwrap_or(u16::MAX)),
                max_unread: sync.max_unread,
            },
        }
    }
}

impl Group {
    /// The rules of a group that writes back.
    fn rules_of_students(&self) -> Option<&Rules> {
        let rules = self.rules.as_deref();
        rules.filter(|_| self.kind == GroupKind::Students)
    }

    /// The group as the roster takes it.
    pub fn as_roster(&self) -> roster::GroupSettings {
        roster::GroupSettings {
            name: self.name.clone(),
            kind: groups::person_kind(self.kind),
            membership: self.membership.clone(),
        }
    }

    /// The group as the rules take it.
    pub fn as_rules(&self) -> writeback::GroupContext<'_> {
        writeback::GroupContext {
            name: &self.name,
            kind: self.kind,
            rules: self.rules.as_deref(),
        }
    }
}

impl fmt::Debug for School {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.groups.iter().map(|group| &group.name).collect();
        f.debug_struct("School")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("version", &self.version)
            .field("mis", &self.mis)
            .field("timezone", &self.timezone)
            .field("token", &self.token)
            .field("link", &self.link)
            .field("without", &self.without)
            .field("persons", &self.persons)
            .field("calendar", &self.calendar)
            .field("groups", &groups)
            .finish()
    }
}
