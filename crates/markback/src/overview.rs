//! Overviews for operators: the schools with their state, and the templates.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    configuration::Configuration,
    schools::token_key,
    settings::{Owner, School, Settings},
    store::{Overview, Scope, SettingsKey, Store, StoredSummary},
    waiting::line_of,
};

/// A school with its state.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SchoolOverview {
    /// Its id at Wonde.
    pub id: String,
    /// Its name, where its settings have one.
    pub name: Option<String>,
    /// Who keeps its settings; absent for a draft, and for a school that was taken out of them.
    pub owner: Option<Owner>,
    /// The version of its settings that rules: `store 7`, `file 3f2a9c1b`, or `store 7 with template store 2`.
    pub version: Option<String>,
    /// The name of its template, if it has one.
    pub template: Option<String>,
    /// The number of a version that is newer than the one that rules.
    pub draft: Option<u32>,
    /// Whether it was taken out of the settings in the database.
    pub removed: bool,
    /// The MIS in its settings.
    pub mis: Option<String>,
    /// The MIS found by the last sync.
    pub mis_found: Option<String>,
    /// The number of its groups.
    pub groups: usize,
    /// Whether its people have been read.
    pub people_read: bool,
    /// Scheduled syncs are paused until then.
    pub sync_paused_until: Option<DateTime<Utc>>,
    /// The number of its events in each state that is open or waits for a person; others are not counted.
    pub events: BTreeMap<String, u64>,
    /// What blocks the sync of its people, its events or its calendar.
    pub last_error: Option<String>,
    /// The pause of the school or of its token, and its reason.
    pub paused: Option<PauseOverview>,
    /// What a person should see to in its settings.
    pub notes: Vec<String>,
}

/// A pause of a school or a token.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PauseOverview {
    /// The school's id, or the token's name after `token:`.
    pub key: String,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
    #[serde(skip)]
    line: String,
}

/// A template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TemplateOverview {
    /// Its name.
    pub name: String,
    /// Who keeps it; absent for a draft, and for a template that was removed.
    pub owner: Option<Owner>,
    /// The version that rules: `store 7` or `file 3f2a9c1b`.
    pub version: Option<String>,
    /// The number of a version that is newer than the one that rules.
    pub draft: Option<u32>,
    /// Whether it was removed from the database.
    pub removed: bool,
    /// The number of schools that name it.
    pub schools: usize,
    /// What a person should see to.
    pub notes: Vec<String>,
}

impl PauseOverview {
    /// Whether it is the pause of this school or token.
    pub fn is_of(&self, key: &str) -> bool {
        self.key == key
    }

    /// The pause as one line.
    pub fn line(&self) -> &str {
        &self.line
    }
}

/// The current pauses.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn pauses(store: &Store) -> outbox::Result<Vec<PauseOverview>> {
    let pauses = store.outbox().pauses().await?.into_iter();
    let pauses = pauses.map(|pause| PauseOverview {
        line: line_of(&pause),
        key: pause.key,
        until: pause.until,
        reason: pause.reason,
    });
    Ok(pauses.collect())
}

/// All schools: those that rule in the order of the settings, then drafts, and schools that were taken out of the settings.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn schools(all: &Configuration, store: &Store) -> outbox::Result<Vec<SchoolOverview>> {
    let settings = all.settings();
    let mut stored = stored(store, Scope::School).await?;
    let mut notes = notes(all, Scope::School);
    for (key, scheduled) in all.all_scheduled().await? {
        notes
            .entry(key.name)
            .or_default()
            .push(scheduled.in_a_sentence());
    }
    let mut state = State::read(store).await?;
    let mut schools = Vec::with_capacity(settings.schools.len());
    for school in &settings.schools {
        let notes = notes.remove(school.id.as_str()).unwrap_or_default();
        let stored = stored.remove(school.id.as_str());
        schools.push(state.of(&school.id, Some(school), stored.as_ref(), notes));
    }
    for (id, stored) in stored {
        let notes = notes.remove(&id).unwrap_or_default();
        schools.push(state.of(&id.as_str().into(), None, Some(&stored), notes));
    }
    // Schools that were taken out of the settings file, and whose events are still kept.
    for id in std::mem::take(&mut state.with_events) {
        schools.push(state.of(&id, None, None, Vec::new()));
    }
    Ok(schools)
}

/// All templates by name.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn templates(
    all: &Configuration,
    store: &Store,
) -> outbox::Result<Vec<TemplateOverview>> {
    let stored = stored(store, Scope::Template).await?;
    let mut notes = notes(all, Scope::Template);
    let mut users: HashMap<String, usize> = HashMap::new();
    for template in all
        .settings()
        .schools
        .iter()
        .filter_map(|one| one.template.as_deref())
    {
        *users.entry(template.to_owned()).or_default() += 1;
    }
    let ruling: BTreeMap<_, _> = all.template_versions().into_iter().collect();
    let names: BTreeSet<_> = ruling.keys().chain(stored.keys()).cloned().collect();
    let templates = names.into_iter().map(|name| {
        let owner = all.owner(&SettingsKey::template(&name));
        let stored = stored.get(&name).filter(|_| owner != Some(Owner::File));
        TemplateOverview {
            owner,
            version: ruling.get(&name).cloned(),
            draft: stored.and_then(draft),
            removed: owner.is_none() && stored.is_some_and(|stored| stored.removed),
            schools: users.get(&name).copied().unwrap_or_default(),
            notes: notes.remove(&name).unwrap_or_default(),
            name,
        }
    });
    Ok(templates.collect())
}

/// The schools whose token is that of this school, with itself. They are paused together.
pub fn schools_of_token(settings: &Settings, school: &SchoolId) -> Vec<SchoolId> {
    let Some(token) = settings.school(school).map(token_key) else {
        return Vec::new();
    };
    let sharing = settings
        .schools
        .iter()
        .filter(|one| token_key(one) == token);
    sharing.map(|one| one.id.clone()).collect()
}

/// Ends the pause of a school, and, if `with_token`, of its token, which all schools of the token share. Returns the keys of
/// the pauses that there were.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn end_pauses(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    with_token: bool,
) -> outbox::Result<Vec<String>> {
    let token = settings
        .school(school)
        .map(token_key)
        .filter(|_| with_token);
    let mut ended: Vec<_> = [Some(school.to_string()), token]
        .into_iter()
        .flatten()
        .collect();
    let now = pauses(store).await?;
    ended.retain(|key| now.iter().any(|pause| pause.is_of(key)));
    store.end_pauses(&ended).await?;
    Ok(ended)
}

async fn stored(store: &Store, scope: Scope) -> outbox::Result<BTreeMap<String, StoredSummary>> {
    let summaries = store.settings_summaries().await?.into_iter();
    let of_scope = summaries.filter(|one| one.key.scope == scope);
    Ok(of_scope.map(|one| (one.key.name.clone(), one)).collect())
}

/// A version that is newer than the one that rules.
fn draft(stored: &StoredSummary) -> Option<u32> {
    let active = stored.active.unwrap_or_default();
    (!stored.removed && active < stored.newest).then_some(stored.newest)
}

/// What a person should see to, by school or template.
fn notes(all: &Configuration, scope: Scope) -> HashMap<String, Vec<String>> {
    let mut notes: HashMap<String, Vec<String>> = HashMap::new();
    if scope == Scope::School {
        for note in all.conflicts().into_iter().chain(all.hints()) {
            let school = note.value.clone().unwrap_or_default();
            notes.entry(school).or_default().push(note.message);
        }
    }
    for (key, trouble) in all.troubles().filter(|(key, _)| key.scope == scope) {
        let of_key = notes.entry(key.name.clone()).or_default();
        of_key.push(trouble.to_string());
    }
    notes
}

/// What the database knows of the schools.
struct State {
    events: BTreeMap<SchoolId, BTreeMap<String, u64>>,
    /// The schools with stored events that are not listed yet.
    with_events: BTreeSet<SchoolId>,
    known: BTreeSet<SchoolId>,
    sync_paused: BTreeMap<SchoolId, DateTime<Utc>>,
    pauses: HashMap<String, PauseOverview>,
    overview: BTreeMap<SchoolId, Overview>,
}

impl State {
    async fn read(store: &Store) -> outbox::Result<Self> {
        let mut events: BTreeMap<SchoolId, BTreeMap<String, u64>> = BTreeMap::new();
        for ((school, state), count) in store.pending().await? {
            let of_school = events.entry(school).or_default();
            of_school.insert(state.as_str().to_owned(), count);
        }
        let pauses = pauses(store).await?.into_iter();
        Ok(Self {
            events,
            with_events: store.schools_with_events().await?,
            known: store.schools_ready().await?.into_iter().collect(),
            sync_paused: store.paused_syncs().await?.into_iter().collect(),
            pauses: pauses.map(|pause| (pause.key.clone(), pause)).collect(),
            overview: store.overview().await?,
        })
    }

    fn of(
        &mut self,
        id: &SchoolId,
        school: Option<&School>,
        stored: Option<&StoredSummary>,
        notes: Vec<String>,
    ) -> SchoolOverview {
        let Overview {
            mis_found,
            sync_error,
            waiting,
            calendar_error,
        } = self.overview.remove(id).unwrap_or_default();
        self.with_events.remove(id);
        let owner = school.map(|school| school.version.owner());
        let stored = stored.filter(|_| owner != Some(Owner::File));
        let own = self.pauses.get(id.as_str());
        let of_token = || self.pauses.get(&school.map(token_key)?);
        SchoolOverview {
            owner,
            name: school.and_then(|school| Some(school.name.as_deref()?.to_owned())),
            version: school.map(|school| school.version.to_string()),
            template: school.and_then(|school| Some(school.template.as_deref()?.to_owned())),
            draft: stored.and_then(draft),
            removed: owner.is_none() && stored.is_some_and(|stored| stored.removed),
            mis: school.and_then(|school| Some(school.mis.as_deref()?.to_owned())),
            mis_found,
            groups: school.map_or(0, |school| school.groups.len()),
            people_read: self.known.contains(id),
            sync_paused_until: self.sync_paused.get(id).copied(),
            events: self.events.remove(id).unwrap_or_default(),
            last_error: sync_error
                .or(waiting.map(|(why, _)| why))
                .or(calendar_error),
            paused: own.or_else(of_token).cloned(),
            notes,
            id: id.to_string(),
        }
    }
}
