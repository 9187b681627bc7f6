//! The settings that rule, made of two layers: the settings file, and what the database has.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use mis_core::SchoolId;

use super::{
    Hint, LoadError, Owner, Problem, Revision, School, SecretSource, Settings,
    schools::{Schools, Templates},
    text::{school_of, template_of},
};
use crate::store::{ActiveRow, BesideFile, Scope, SettingsKey, Store};

/// Both layers, resolved. Cheap to clone as far as schools and templates are shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    file: Arc<Settings>,
    /// Those of the file and of the database.
    templates: Arc<Templates>,
    /// The templates of the database that rule.
    template_names: BTreeSet<String>,
    schools: BTreeMap<SchoolId, Stored>,
    troubles: BTreeMap<SettingsKey, Trouble>,
    generation: i64,
}

/// A school of the database.
#[derive(Clone, Debug)]
struct Stored {
    school: School,
    beside_file: BesideFile,
    since: Option<DateTime<Utc>>,
}

/// Why a version of the database does not rule on this node although it was activated.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) number: u32,
    pub(crate) problems: Vec<Problem>,
}

/// What a change does to these layers.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) problems: Vec<Problem>,
    pub(crate) hints: Vec<Hint>,
}

impl Checked {
    fn take(&mut self, checked: Result<Vec<Hint>, LoadError>) -> bool {
        match checked {
            Ok(hints) => {
                self.hints.extend(hints);
                true
            }
            Err(LoadError::Problems { problems, hints }) => {
                self.problems.extend(problems);
                self.hints.extend(hints);
                false
            }
            // Only a file can be unreadable.
            Err(LoadError::Read { .. }) => false,
        }
    }
}

impl Layers {
    /// Everything that rules: the file, and all rows of the database.
    ///
    /// A row that does not hold here, for example because it was written by a newer version of this program, leaves the
    /// school as it was in `before`, and is a trouble.
    pub(crate) fn of(file: Arc<Settings>, rows: &[ActiveRow], before: Option<&Self>) -> Self {
        let mut layers = Self {
            templates: file.templates.clone(),
            file,
            ..Self::default()
        };
        let mut schools = layers.resolver();
        layers.resolve(&mut schools, rows, before);
        layers
    }

    /// The settings of the file.
    pub(crate) fn file(&self) -> &Arc<Settings> {
        &self.file
    }

    /// The last change of the database that is in it.
    pub(crate) fn generation(&self) -> i64 {
        self.generation
    }

    /// What the database has and this node cannot go by.
    pub(crate) fn troubles(&self) -> &BTreeMap<SettingsKey, Trouble> {
        &self.troubles
    }

    /// Logs what should rule and does not, and possible mistakes, as far as that is news.
    pub(crate) fn tell(&self, before: Option<&Self>) {
        let is_known = |key: &SettingsKey, trouble: &Trouble| {
            let known = before.and_then(|before| before.troubles.get(key));
            known.is_some_and(|known| known.number == trouble.number)
        };
        let news = self
            .troubles
            .iter()
            .filter(|(key, trouble)| !is_known(key, trouble));
        for (key, trouble) in news {
            for problem in &trouble.problems {
                tracing::error!(
                    settings = %key,
                    version = trouble.number,
                    %problem,
                    "an activated version of the settings does not hold on this node, and does not rule here"
                );
            }
        }
        let known = before.map(Self::hints).unwrap_or_default();
        for hint in self
            .hints()
            .into_iter()
            .filter(|hint| !known.contains(hint))
        {
            tracing::warn!(%hint, "the settings have a possible mistake");
        }
    }

    /// Whether these changes concern templates, so that all schools are to be resolved anew.
    pub(crate) fn needs_all(rows: &[ActiveRow]) -> bool {
        rows.iter().any(|row| row.key.scope == Scope::Template)
    }

    /// These layers after changes of the database. A change of a template reads everything else that rules again.
    pub(crate) async fn followed_by(
        &self,
        rows: &[ActiveRow],
        store: &Store,
    ) -> outbox::Result<Self> {
        if Self::needs_all(rows) {
            let all = store.settings_since(0).await?;
            return Ok(Self::of(self.file.clone(), &all, Some(self)));
        }
        let mut next = self.clone();
        next.take(rows);
        Ok(next)
    }

    /// Takes in changes of schools.
    pub(crate) fn take(&mut self, rows: &[ActiveRow]) {
        let before = self.clone();
        let mut schools = self.resolver();
        self.resolve(&mut schools, rows, Some(&before));
    }

    /// Everything that is wrong with rows, as if they ruled. Nothing changes.
    pub(crate) fn check(&self, rows: &[ActiveRow]) -> Checked {
        let mut checked = Checked::default();
        let mut schools = self.resolver();
        for row in rows {
            let name = row.name_in_problems();
            let Some(version) = &row.version else {
                continue;
            };
            let revision = Some(Revision::Store(version.number));
            let read = checked_by(&mut schools, &row.key, &name, &version.body, revision);
            let lacks_token = read.as_ref().is_ok_and(|(school, _)| {
                let place = school.as_ref().and_then(|school| school.token.as_ref());
                matches!(place, Some(SecretSource::Sealed(_))) && row.token.is_none()
            });
            checked.take(read.map(|(_, hints)| hints));
            if lacks_token {
                checked.hints.push(row.problem(
                    "the school has no token yet, so nothing is read or written",
                    "set it with `markback token set`, or name its place with `token_env` or `token_file`",
                ));
            }
        }
        checked
    }

    fn resolver(&self) -> Schools {
        Schools::of_store(&self.file.service, (*self.templates).clone())
    }

    fn resolve(&mut self, schools: &mut Schools, rows: &[ActiveRow], before: Option<&Self>) {
        for row in rows {
            self.generation = self.generation.max(row.generation);
            self.troubles.remove(&row.key);
            match row.key.scope {
                Scope::Template => self.resolve_template(schools, row),
                Scope::School => self.resolve_school(schools, row, before),
            }
        }
        self.templates = Arc::new(std::mem::take(&mut schools.templates));
    }

    fn resolve_template(&mut self, schools: &mut Schools, row: &ActiveRow) {
        let name = &row.key.name;
        let Some(version) = &row.version else {
            return;
        };
        if self.file.templates.contains_key(name) {
            let problem = row.problem(
                "the settings file has a template of this name too, and that one counts",
                "rename one of the two",
            );
            return self.trouble(row, version.number, vec![problem]);
        }
        let revision = Some(Revision::Store(version.number));
        let place = row.name_in_problems();
        match template_of(schools, name, &place, &version.body, revision) {
            Ok(_) => {
                self.template_names.insert(name.clone());
            }
            Err(error) => self.trouble(row, version.number, problems_of(error)),
        }
    }

    fn resolve_school(&mut self, schools: &mut Schools, row: &ActiveRow, before: Option<&Self>) {
        let id = SchoolId::from(row.key.name.as_str());
        let Some(version) = &row.version else {
            self.schools.remove(&id);
            return;
        };
        let revision = Some(Revision::Store(version.number));
        let place = row.name_in_problems();
        let school = match school_of(schools, &id, &place, &version.body, revision) {
            Ok((school, _)) => Some(school),
            Err(error) => {
                self.trouble(row, version.number, problems_of(error));
                let kept = before.and_then(|before| before.schools.get(&id));
                kept.map(|kept| kept.school.clone())
            }
        };
        match school {
            Some(mut school) => {
                school.token = school.token.map(|token| token.sealed_as(&row.token));
                let stored = Stored {
                    school,
                    beside_file: row.beside_file,
                    since: row.since,
                };
                self.schools.insert(id, stored);
            }
            None => {
                self.schools.remove(&id);
            }
        }
    }

    fn trouble(&mut self, row: &ActiveRow, number: u32, problems: Vec<Problem>) {
        let trouble = Trouble { number, problems };
        self.troubles.insert(row.key.clone(), trouble);
    }

    /// The settings that rule: the schools of the file in its order, then those of the database by id.
    pub(crate) fn settings(&self) -> Settings {
        let of_file = self.file.schools.iter().filter(|school| {
            let stored = self.schools.get(&school.id);
            stored.is_none_or(|stored| stored.beside_file == BesideFile::File)
        });
        let of_store = self.schools.values().filter(|stored| {
            stored.beside_file != BesideFile::File || self.file.school(&stored.school.id).is_none()
        });
        let schools = of_file
            .cloned()
            .chain(of_store.map(|stored| stored.school.clone()))
            .collect();
        Settings {
            templates: self.templates.clone(),
            ..Settings::new(self.file.service.clone(), schools)
        }
    }

    /// The schools that the file and the database both have, although neither was handed to the other. Which of the two
    /// rules is a person's decision.
    pub(crate) fn conflicts(&self) -> Vec<Problem> {
        self.in_both(BesideFile::Refuse)
            .map(|(id, since)| {
                self.file.problem_of(
                    id,
                    &format!("the store has this school as well{since}"),
                    "take it out of this file, or out of the store with `markback schools remove`",
                )
            })
            .collect()
    }

    /// The problem of a file without any school if schools rule from the present one: it is more likely a slip than meant.
    pub(crate) fn lost_with(&self, file: &Settings) -> Option<Problem> {
        let rule_from_file =
            |school: &&School| self.owner(&SettingsKey::from(&school.id)) == Some(Owner::File);
        let lost = self.file.schools.iter().filter(rule_from_file).count();
        (file.schools.is_empty() && lost > 0).then(|| Problem {
            file: file.service.path.display().to_string().into(),
            line: None,
            key: "school".to_owned(),
            value: None,
            message: format!("no school is left in the file, and {lost} are served by it"),
            help: "put them back; if they are to go, restart the service with this file, or move them into the store \
                   first with `markback schools adopt`"
                .to_owned(),
        })
    }

    /// What a person should tidy up: schools that were handed from one layer to the other and are still in both.
    pub(crate) fn hints(&self) -> Vec<Hint> {
        let adopted = self.in_both(BesideFile::Store).map(|(id, since)| {
            self.file.problem_of(
                id,
                &format!("the store owns this school{since}, so this entry is ignored"),
                "remove it from the file",
            )
        });
        let released = self.in_both(BesideFile::File).map(|(id, _)| {
            self.file.problem_of(
                id,
                "the store released this school to the file, which rules now, and still keeps its own copy",
                "remove that with `markback schools remove`",
            )
        });
        adopted.chain(released).collect()
    }

    fn in_both(&self, which: BesideFile) -> impl Iterator<Item = (&SchoolId, String)> {
        self.schools
            .iter()
            .filter(move |(id, stored)| {
                stored.beside_file == which && self.file.school(id).is_some()
            })
            .map(|(id, stored)| {
                let since = stored
                    .since
                    .map(|at| at.format(" since %Y-%m-%d").to_string());
                (id, since.unwrap_or_default())
            })
    }

    /// Who keeps a school or a template that rules.
    pub(crate) fn owner(&self, key: &SettingsKey) -> Option<Owner> {
        match key.scope {
            Scope::School => {
                let id = SchoolId::from(key.name.as_str());
                let in_file = self.file.school(&id).map(|_| Owner::File);
                match self.schools.get(&id) {
                    Some(stored) if stored.beside_file != BesideFile::File => Some(Owner::Store),
                    Some(_) => in_file.or(Some(Owner::Store)),
                    None => in_file,
                }
            }
            Scope::Template if self.template_names.contains(&key.name) => Some(Owner::Store),
            Scope::Template => {
                let in_file = self.file.templates.contains_key(&key.name);
                in_file.then_some(Owner::File)
            }
        }
    }

    /// The number of the version that rules, if the database has it.
    pub(crate) fn rules(&self, key: &SettingsKey) -> Option<u32> {
        let own = match key.scope {
            Scope::School => {
                self.schools
                    .get(&SchoolId::from(key.name.as_str()))?
                    .school
                    .version
                    .own
            }
            Scope::Template => self.templates.get(&key.name)?.revision,
        };
        match own {
            Revision::Store(number) => Some(number),
            Revision::File(_) => None,
        }
    }

    /// The templates of the file and of the database that rule, each with its version.
    pub(crate) fn template_revisions(&self) -> impl Iterator<Item = (&String, Revision)> {
        let templates = self.templates.iter();
        templates.map(|(name, template)| (name, template.revision))
    }

    /// Since when the database has a school.
    pub(crate) fn since(&self, key: &SettingsKey) -> Option<DateTime<Utc>> {
        self.stored(key)?.since
    }

    /// Who rules if the file has the school as well.
    pub(crate) fn beside_file(&self, key: &SettingsKey) -> Option<BesideFile> {
        Some(self.stored(key)?.beside_file)
    }

    fn stored(&self, key: &SettingsKey) -> Option<&Stored> {
        match key.scope {
            Scope::School => self.schools.get(&SchoolId::from(key.name.as_str())),
            Scope::Template => None,
        }
    }

    /// Whether the file has templates.
    pub(crate) fn file_has_templates(&self) -> bool {
        !self.file.templates.is_empty()
    }

    /// Everything that is wrong with a text as the settings of a school or a template. `name` is its name in problems.
    pub(crate) fn check_text(
        &self,
        key: &SettingsKey,
        name: &str,
        text: &str,
    ) -> Result<Vec<Hint>, LoadError> {
        checked_by(&mut self.resolver(), key, name, text, None).map(|(_, hints)| hints)
    }

    /// What does not hold any more if these rows rule, beside the others that do.
    pub(crate) fn broken_by(&self, all: Vec<ActiveRow>, rows: &[ActiveRow]) -> Vec<Problem> {
        let mut next: BTreeMap<_, _> = all.into_iter().map(|row| (row.key.clone(), row)).collect();
        next.extend(rows.iter().map(|row| (row.key.clone(), row.clone())));
        let next: Vec<_> = next.into_values().collect();
        let after = Self::of(self.file.clone(), &next, None);
        let is_new = |key: &SettingsKey| !self.troubles.contains_key(key);
        let without_token = after.tokens_lost_since(self, rows);
        after
            .troubles
            .into_iter()
            .filter(|(key, _)| is_new(key))
            .flat_map(|(_, trouble)| trouble.problems)
            .chain(without_token)
            .collect()
    }

    /// Schools that have no token any more because a template names no place for it. A school whose own settings change, in
    /// `rows`, may be left without one, which is told as a hint.
    pub(crate) fn tokens_lost_since(&self, before: &Self, rows: &[ActiveRow]) -> Vec<Problem> {
        let had_one = |stored: &Stored| {
            let place = stored.school.token.as_ref();
            place.is_some_and(|place| !matches!(place, SecretSource::Sealed(_)))
        };
        let lost = self.schools.iter().filter(|(id, stored)| {
            stored.school.lacks_token()
                && before.schools.get(id).is_some_and(had_one)
                && !rows.iter().any(|row| row.key == SettingsKey::from(*id))
        });
        lost.map(|(id, _)| {
            let key = SettingsKey::from(id);
            let number = self.rules(&key).unwrap_or_default();
            Problem {
                file: format!("{key}, version {number}").into(),
                line: None,
                key: "token_env".to_owned(),
                value: None,
                message: "the school would lose its token, whose place its template named".to_owned(),
                help: "set the token with `markback token set` first, or name its place in the school's own settings"
                    .to_owned(),
            }
        })
        .collect()
    }

    /// The schools of the database that name a template.
    pub(crate) fn users_of<'l>(&'l self, template: &'l str) -> impl Iterator<Item = &'l SchoolId> {
        self.schools
            .iter()
            .filter(move |(_, stored)| stored.school.template.as_deref() == Some(template))
            .map(|(id, _)| id)
    }
}

impl Settings {
    /// A problem with a school as a whole.
    fn problem_of(&self, id: &SchoolId, message: &str, help: &str) -> Problem {
        Problem {
            file: self.service.path.display().to_string().into(),
            line: None,
            key: "school".to_owned(),
            value: Some(id.to_string()),
            message: message.to_owned(),
            help: help.to_owned(),
        }
    }
}

impl ActiveRow {
    /// The name of the text in problems: `school A1, version 7`.
    pub(crate) fn name_in_problems(&self) -> String {
        match &self.version {
            Some(version) => format!("{}, version {}", self.key, version.number),
            None => self.key.to_string(),
        }
    }

    fn problem(&self, message: &str, help: &str) -> Problem {
        Problem {
            file: self.name_in_problems().into(),
            line: None,
            key: String::new(),
            value: None,
            message: message.to_owned(),
            help: help.to_owned(),
        }
    }
}

/// Checks a text as the settings of a school or a template, and adds it to those gathered.
fn checked_by(
    schools: &mut Schools,
    key: &SettingsKey,
    name: &str,
    text: &str,
    revision: Option<Revision>,
) -> Result<(Option<School>, Vec<Hint>), LoadError> {
    match key.scope {
        Scope::Template => {
            let hints = template_of(schools, &key.name, name, text, revision)?;
            Ok((None, hints))
        }
        Scope::School => {
            let id = SchoolId::from(key.name.as_str());
            let (school, hints) = school_of(schools, &id, name, text, revision)?;
            Ok((Some(school), hints))
        }
    }
}

fn problems_of(error: LoadError) -> Vec<Problem> {
    match error {
        LoadError::Problems { problems, .. } => problems,
        LoadError::Read { .. } => Vec::new(),
    }
}
