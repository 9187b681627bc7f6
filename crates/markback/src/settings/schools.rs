//! The schools, each from what it says itself and what its template says: defaults, and every check that needs more than
//! one value.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono_tz::Tz;
use mis_core::{Ability, Registry, SchoolId};
use roster::IdKind;
use toml::{Spanned, de::DeValue};

use super::{
    Group, Link, Persons, School, SecretSource, Service, TITLE_MAX,
    calendar::{self, CalendarFile},
    document::{Document, Value},
    file::{GroupFile, LinkFile, PersonsFile, SchoolFile, TemplateFile, Without},
    findings::{Findings, InDocument, Place, named},
    groups::groups,
    key::Key,
    list::Listed,
    secret, session_times,
    version::{self, Revision, SettingsVersion},
    words::nearest,
};
use crate::{
    calendar::Calendar,
    seal::{SealKeyPlaces, SealedToken},
};

/// What a school and a template may both say.
#[derive(Default)]
pub(super) struct Common {
    pub(super) mis: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) token_env: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) link: Option<LinkFile>,
    pub(super) without: Option<Vec<Without>>,
    pub(super) persons: Option<PersonsFile>,
    pub(super) calendar: Option<CalendarFile>,
    pub(super) group: Option<Vec<GroupFile>>,
}

/// The same, checked. `None` where nothing was said, or nothing that holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    mis: Option<Arc<str>>,
    timezone: Option<Tz>,
    token: Option<SecretSource>,
    link: Option<Arc<Link>>,
    without: Option<Arc<[Ability]>>,
    by: Option<Arc<[IdKind]>>,
    same_parent: Option<bool>,
    calendar: Option<Arc<Calendar>>,
    groups: Option<Arc<[Group]>>,
    /// Something was wrong with it: what seems to be missing may be what was wrong.
    flawed: bool,
}

/// A template, checked.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) revision: Revision,
    resolved: Arc<Resolved>,
}

/// Templates by name.
pub(super) type Templates = HashMap<String, Template>;

/// A school's own part of the settings, before its template's.
pub(super) struct Entry<'a> {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) template: Option<&'a str>,
    pub(super) common: Common,
    pub(super) revision: Revision,
}

/// The schools as they are gathered.
pub(super) struct Schools {
    pub(super) folder: PathBuf,
    pub(super) findings: Findings,
    pub(super) registry: Option<Registry>,
    texts: HashSet<Arc<str>>,
    pub(super) templates: Templates,
    /// Templates of whose groups it was told in which key they differ, and whether that is a problem.
    pub(super) told_of_sessions: HashSet<(String, &'static str, bool)>,
    pub(super) schools: Vec<School>,
    seen: HashSet<SchoolId>,
    /// The lines of lists as they were read, if somebody wants them.
    pub(super) listed: Option<Vec<Listed>>,
    /// The keys for the tokens in the database, if the schools are kept there: then a school need not say where its token is.
    pub(super) sealed_with: Option<Arc<SealKeyPlaces>>,
}

impl Schools {
    /// Relative paths start from the folder.
    pub(super) fn new(folder: &Path, templates: Templates) -> Self {
        Self {
            folder: folder.to_owned(),
            findings: Findings::default(),
            registry: Registry::discover().ok(),
            texts: HashSet::new(),
            templates,
            told_of_sessions: HashSet::new(),
            schools: Vec::new(),
            seen: HashSet::new(),
            listed: None,
            sealed_with: None,
        }
    }

    /// The same for schools that the database keeps, with their tokens.
    pub(super) fn of_store(service: &Service, templates: Templates) -> Self {
        Self {
            sealed_with: Some(service.seal_keys().clone()),
            ..Self::new(&service.folder, templates)
        }
    }

    /// Takes in the templates of the file. They come before the schools that name them.
    pub(super) fn templates(&mut self, document: &Document<'_>) {
        for (key, value) in entries(document, "template", &mut self.findings) {
            self.template_in(
                document,
                key,
                value,
                None,
                version::of_value(value.get_ref()),
            );
        }
    }

    /// Takes in a template. It has the given name, or else the one that it says.
    pub(super) fn template_in(
        &mut self,
        document: &Document<'_>,
        key: Key,
        value: &Value<'_>,
        given: Option<&str>,
        revision: Revision,
    ) {
        let before = self.findings.problems.len();
        let Some(mut read) =
            document.read::<TemplateFile>(&key, value, &mut self.findings.problems)
        else {
            return;
        };
        let place = InDocument { document, key };
        if let Some(given) = given {
            self.same_name(&place, "name", &mut read.name, given);
        }
        let name = read.name.take();
        let hints_before = self.findings.hints.len();
        let mut resolved = self.resolve(&place, read.into());
        if resolved.calendar.is_some() {
            self.drop_hints_at_closed_days(hints_before);
        }
        resolved.flawed = self.findings.problems.len() > before;
        let Some(name) = self.name(&place, "name", name) else {
            return;
        };
        let template = Template {
            revision,
            resolved: Arc::new(resolved),
        };
        if self.templates.insert(name, template).is_some() && given.is_none() {
            self.findings.problems.push(place.problem(
                "name",
                "another template has this name",
                "give each template its own name",
            ));
        }
    }

    /// A text that is kept under a name need not repeat it, and must not name another.
    fn same_name(&mut self, place: &dyn Place, key: &str, named: &mut Option<String>, given: &str) {
        if named.as_deref().is_some_and(|named| named != given) {
            self.findings.problems.push(place.problem(
                key,
                &format!("these are the settings of {given}"),
                "remove this line",
            ));
        }
        *named = Some(given.to_owned());
    }

    /// Takes in the schools of the file.
    pub(super) fn schools(&mut self, document: &Document<'_>) {
        for (key, value) in entries(document, "school", &mut self.findings) {
            self.school_in(
                document,
                key,
                value,
                None,
                version::of_value(value.get_ref()),
            );
        }
    }

    /// Takes in a school of a document. It has the given id, or else the one that it says.
    pub(super) fn school_in(
        &mut self,
        document: &Document<'_>,
        key: Key,
        value: &Value<'_>,
        given: Option<&SchoolId>,
        revision: Revision,
    ) {
        let Some(mut read) = document.read::<SchoolFile>(&key, value, &mut self.findings.problems)
        else {
            return;
        };
        let place = InDocument { document, key };
        if let Some(given) = given {
            // It may be taken in again.
            self.seen.remove(given);
            self.same_name(&place, "id", &mut read.id, given.as_str());
        }
        let (id, name, template) = (read.id.take(), read.name.take(), read.template.take());
        let entry = Entry {
            id,
            name,
            template: template.as_deref(),
            common: read.into(),
            revision,
        };
        self.school(&place, entry);
    }

    /// Takes in one school, with what its template says where it says nothing itself.
    pub(super) fn school(&mut self, place: &dyn Place, entry: Entry<'_>) {
        let hints_before = self.findings.hints.len();
        let own = self.resolve(place, entry.common);
        let id = self.id(place, entry.id);
        let name = entry.name.and_then(|name| self.title(place, name));
        let template_name = entry.template;
        let (template, template_revision) = match template_name {
            None => (Resolved::default(), None),
            Some(name) => self.template(place, name),
        };
        let timezone = own.timezone.or(template.timezone);
        if timezone.is_none() && !template.flawed {
            self.findings.missing(place.problem(
                "timezone",
                "this is missing, and all times are in the school's time zone",
                "add `timezone = \"Europe/London\"`, or the IANA name of the school's time zone",
            ));
        }
        let link = own.link.or(template.link);
        let sealed = || {
            let (id, keys) = (id.clone()?, self.sealed_with.clone()?);
            Some(SecretSource::Sealed(SealedToken::none(id, keys)))
        };
        let token = own.token.or(template.token).or_else(sealed);
        let token = token.filter(|_| link.is_none());
        let lacks_token = token.is_none() && link.is_none();
        if lacks_token && !template.flawed && !own.flawed {
            self.findings.missing(place.problem(
                "token_env",
                "the place of the school's token is missing",
                "add `token_env = \"…\"` with the name of an environment variable, or `token_file = \"…\"`",
            ));
        }
        let linked = link.as_deref().and_then(|link| link.name.clone());
        let mis = linked.or(own.mis).or(template.mis);
        let from_template = own.groups.is_none().then_some(template_name).flatten();
        let groups = own.groups.or(template.groups).unwrap_or_default();
        let calendar = own.calendar.or(template.calendar);
        if calendar.is_some() {
            self.drop_hints_at_closed_days(hints_before);
        }
        session_times::check(self, place, from_template, mis.as_deref(), &groups);
        if let (Some(id), Some(timezone), false) = (id, timezone, lacks_token) {
            let named = template_name.map(|name| self.shared(name));
            self.schools.push(School {
                id,
                name,
                version: SettingsVersion::new(entry.revision, template_revision),
                template: named,
                mis,
                timezone,
                token,
                link,
                without: own.without.or(template.without).unwrap_or_default(),
                persons: Persons {
                    by: own
                        .by
                        .or(template.by)
                        .unwrap_or_else(|| IdKind::DEFAULT.into()),
                    same_parent: own.same_parent.or(template.same_parent).unwrap_or(false),
                },
                calendar,
                groups,
            });
        }
    }

    /// A group without closed days is no mistake where the school has a calendar.
    fn drop_hints_at_closed_days(&mut self, from: usize) {
        let mut at = 0;
        self.findings.hints.retain(|hint| {
            at += 1;
            at <= from || !hint.key.ends_with(".writeback.closed")
        });
    }

    /// The school with this id, if its settings were sufficient.
    pub(super) fn take(&mut self, id: &SchoolId) -> Option<School> {
        let at = self.schools.iter().rposition(|school| school.id == *id)?;
        Some(self.schools.swap_remove(at))
    }

    fn template(&mut self, place: &dyn Place, name: &str) -> (Resolved, Option<Revision>) {
        if let Some(found) = self.templates.get(name) {
            return ((*found.resolved).clone(), Some(found.revision));
        }
        let cure = match nearest(name, self.templates.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if self.sealed_with.is_none() => {
                "add a `[[template]]` of this name to the file; its schools cannot use templates of the database".to_owned()
            }
            None => "add a template of this name".to_owned(),
        };
        self.findings
            .problems
            .push(place.problem("template", "there is no such template", &cure));
        let flawed = Resolved {
            flawed: true,
            ..Resolved::default()
        };
        (flawed, None)
    }

    fn id(&mut self, place: &dyn Place, id: Option<String>) -> Option<SchoolId> {
        let id = self.name(place, "id", id)?;
        if !id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            self.findings.problems.push(place.problem(
                "id",
                "this is not the id of a school",
                "use the school's id at Wonde, letters and digits such as \"A1930499544\"",
            ));
            return None;
        }
        let id = SchoolId::from(id);
        if !self.seen.insert(id.clone()) {
            self.findings.problems.push(place.problem(
                "id",
                "another school has this id",
                "keep one of the two; a school can have many groups",
            ));
            return None;
        }
        Some(id)
    }

    fn resolve(&mut self, place: &dyn Place, common: Common) -> Resolved {
        let (token, problem) = secret::source(
            place,
            &self.folder,
            "token",
            common.token_env,
            common.token_file,
        );
        let mut flawed = problem.is_some();
        self.findings.problems.extend(problem);
        let link = common.link.and_then(|link| {
            let link = self.link(place, link);
            flawed |= link.is_none();
            link
        });
        Resolved {
            timezone: common.timezone.and_then(|word| self.timezone(place, &word)),
            token: token.map(|source| match source {
                SecretSource::Env(name) => SecretSource::Env(self.shared(name)),
                other => other,
            }),
            link,
            mis: common.mis.and_then(|name| self.mis(place, name)),
            without: common
                .without
                .map(|words| words.into_iter().map(Ability::from).collect()),
            same_parent: common
                .persons
                .as_ref()
                .and_then(|persons| persons.same_parent),
            by: common
                .persons
                .and_then(|persons| self.by(place, persons.by?)),
            calendar: common.calendar.map(|file| {
                calendar::calendar(place, &self.folder, file, &mut self.findings).into()
            }),
            groups: common
                .group
                .map(|list| groups(place, list, &mut self.findings)),
            flawed,
        }
    }

    fn by(&mut self, place: &dyn Place, by: Vec<IdKind>) -> Option<Arc<[IdKind]>> {
        if by.is_empty() {
            self.findings.problems.push(place.problem(
                "persons.by",
                "events could not name anybody",
                "list the kinds of id to use, such as `[\"id\"]`",
            ));
            return None;
        }
        Some(by.into())
    }

    fn name(&mut self, place: &dyn Place, key: &str, name: Option<String>) -> Option<String> {
        named(place, key, name, &mut self.findings)
    }

    /// The school's name for people.
    fn title(&mut self, place: &dyn Place, name: String) -> Option<Arc<str>> {
        let name = name.trim();
        let problem = if name.is_empty() {
            "this is empty"
        } else if name.chars().count() > TITLE_MAX {
            "this is longer than 100 characters"
        } else if name.chars().any(char::is_control) {
            "this has control characters"
        } else {
            return Some(name.into());
        };
        let cure = "write the school's name on one line, or omit the key: then its id is shown";
        let problem = place.problem("name", problem, cure);
        self.findings.problems.push(problem);
        None
    }

    fn timezone(&mut self, place: &dyn Place, word: &str) -> Option<Tz> {
        let zone = word.parse().ok();
        if zone.is_none() {
            let zones = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let cure = match nearest(word, zones) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "use the IANA name, such as \"Europe/London\"".to_owned(),
            };
            self.findings.problems.push(place.problem(
                "timezone",
                "there is no such time zone",
                &cure,
            ));
        }
        zone
    }

    fn mis(&mut self, place: &dyn Place, name: String) -> Option<Arc<str>> {
        if name.trim().is_empty() {
            self.findings.problems.push(place.problem(
                "mis",
                "this is empty",
                "name the MIS, or omit the key: then Wonde's name for it is used",
            ));
            return None;
        }
        let new = !self.texts.contains(name.as_str());
        if let Some(registry) = self.registry.as_ref().filter(|_| new)
            && !registry
                .iter()
                .any(|descriptor| descriptor.answers_to(&name))
        {
            let names: Vec<_> = registry.iter().map(|descriptor| descriptor.name).collect();
            let cure = match nearest(&name, names.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("there are adapters for {}", names.join(", ")),
            };
            let what = "there is no adapter for this MIS: its people and groups are read, but no marks are written";
            self.findings.hints.push(place.problem("mis", what, &cure));
        }
        Some(self.shared(name))
    }

    fn link(&mut self, place: &dyn Place, link: LinkFile) -> Option<Arc<Link>> {
        let adapter = self.name(place, "link.adapter", link.adapter)?;
        let known = self.registry.as_ref().map(|registry| {
            let ids: Vec<_> = registry.iter().map(|descriptor| descriptor.id).collect();
            (registry.get(&adapter).ok(), nearest(&adapter, ids))
        });
        if let Some((None, meant)) = known {
            let cure = meant.map_or_else(
                || "use an id that `markback adapters` lists".to_owned(),
                |meant| format!("did you mean \"{meant}\"?"),
            );
            self.findings.problems.push(place.problem(
                "link.adapter",
                "there is no adapter with this id",
                &cure,
            ));
            return None;
        }
        let name = known
            .and_then(|(descriptor, _)| descriptor)
            .map(|one| one.name);
        Some(Arc::new(Link {
            adapter,
            settings: link.settings.into(),
            folder: self.folder.clone(),
            name: name.map(|name| self.shared(name)),
        }))
    }

    /// The same text once in memory, however many schools bear it.
    fn shared(&mut self, text: impl AsRef<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(text.as_ref()) {
            return known.clone();
        }
        let text: Arc<str> = text.as_ref().into();
        self.texts.insert(text.clone());
        text
    }
}

/// The entries of a list of tables at the top of the file, such as `[[school]]`.
pub(super) fn entries<'d, 't>(
    document: &'d Document<'t>,
    name: &str,
    findings: &mut Findings,
) -> Vec<(Key, &'d Value<'t>)> {
    let key = Key::default().name(name);
    match document.root().get_ref().get(name).map(Spanned::get_ref) {
        None => Vec::new(),
        Some(DeValue::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(at, value)| (key.index(at), value))
            .collect(),
        Some(_) => {
            findings.problems.push(document.problem(
                &key,
                "this is not a list of tables",
                format!("write `[[{name}]]` with two brackets, once for each table"),
            ));
            Vec::new()
        }
    }
}

impl From<SchoolFile> for Common {
    fn from(read: SchoolFile) -> Self {
        Self {
            mis: read.mis,
            timezone: read.timezone,
            token_env: read.token_env,
            token_file: read.token_file,
            link: read.link,
            without: read.without,
            persons: read.persons,
            calendar: read.calendar,
            group: read.group,
        }
    }
}

impl From<TemplateFile> for Common {
    fn from(read: TemplateFile) -> Self {
        Self {
            mis: read.mis,
            timezone: read.timezone,
            token_env: read.token_env,
            token_file: read.token_file,
            link: read.link,
            without: read.without,
            persons: read.persons,
            calendar: read.calendar,
            group: read.group,
        }
    }
}

impl From<Without> for Ability {
    fn from(word: Without) -> Self {
        match word {
            Without::Session => Self::Session,
            Without::Comment => Self::Comment,
            Without::MinutesLate => Self::MinutesLate,
            Without::EarlyLeaver => Self::EarlyLeaver,
            Without::Roster => Self::Roster,
        }
    }
}
