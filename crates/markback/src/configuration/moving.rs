//! Moving schools between the settings file and the database, and writing them as a file.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChangeError, Configuration, Written, noted, write::Change};
use crate::{
    operator::Actor,
    settings::{Body, Owner, SecretSource, as_entry, bodies_of_file},
    store::{BesideFile, Scope, SettingsKey},
};

/// Stands above a school whose token is in the database.
const TOKEN_NOT_HERE: &str = "# The token is not in this file. The database keeps it: set it with `markback token set`, or name its place with \
     `token_env` or `token_file`.\n";

impl Configuration {
    /// Moves schools from the settings file into the database, with their texts as first versions. The file's entries
    /// are ignored from then on, with a hint, until somebody removes them.
    ///
    /// # Errors
    /// Returns an error if the file does not have one of them, or cannot be read. Then none was moved.
    pub async fn adopt(
        &mut self,
        ids: &[String],
        actor: &Actor,
    ) -> Result<Vec<Written>, ChangeError> {
        let bodies = self.bodies_of_file()?;
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let key = SettingsKey::school(id);
            let Some(text) = bodies.get(&key) else {
                return Err(match self.layers.owner(&key) {
                    Some(Owner::Store) => ChangeError::Exists { key },
                    _ => ChangeError::Unknown { key },
                });
            };
            changes.push(Change {
                activate: true,
                from_file: true,
                beside_file: Some(BesideFile::Store),
                ..Change::text(&key, text, None)
            });
        }
        self.write(changes, &noted(actor, "adopted from the settings file"))
            .await
    }

    /// Releases schools to the settings file: as soon as it has them, it rules. Until then the database does.
    ///
    /// # Errors
    /// Returns an error if one of them does not rule from the database.
    pub async fn release(
        &mut self,
        ids: &[String],
        actor: &Actor,
    ) -> Result<Vec<Written>, ChangeError> {
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let key = SettingsKey::school(id);
            if self.layers.owner(&key) != Some(Owner::Store) {
                return Err(self.unknown(&key));
            }
            let Some(version) = self.present(&key).await? else {
                return Err(ChangeError::Unknown { key });
            };
            changes.push(Change {
                beside_file: Some(BesideFile::File),
                ..Change::rule(&key, version.number, version.body)
            });
        }
        self.write(changes, &noted(actor, "released to the settings file"))
            .await
    }

    /// The texts of schools, with the templates that they name, as a settings file without the settings of the service.
    /// Without ids, all schools and templates of the file and of the database.
    ///
    /// # Errors
    /// Returns an error if there is no such school, or a file or the database cannot be read.
    pub async fn export(&self, ids: &[String]) -> Result<String, ChangeError> {
        let settings = self.layers.settings();
        let everything = ids.is_empty();
        let ids: Vec<String> = if everything {
            settings
                .schools
                .iter()
                .map(|one| one.id.to_string())
                .collect()
        } else {
            ids.to_vec()
        };
        let mut texts = BTreeMap::new();
        for row in self.store.settings_since(0).await? {
            if let Some(version) = row.version {
                texts.insert(row.key, version.body);
            }
        }
        let of_file = self.bodies_of_file()?;
        let is_template = |key: &&SettingsKey| key.scope == Scope::Template;
        let templates = of_file.keys().chain(texts.keys()).filter(is_template);
        let mut wanted: BTreeSet<_> = templates.filter(|_| everything).cloned().collect();
        let mut schools = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(school) = settings.school(&id.as_str().into()) else {
                return Err(ChangeError::Unknown {
                    key: SettingsKey::school(id),
                });
            };
            wanted.extend(school.template.as_deref().map(SettingsKey::template));
            schools.push(SettingsKey::school(id));
        }
        let mut out = String::new();
        for key in wanted.into_iter().chain(schools) {
            let from = match self.layers.owner(&key) {
                Some(Owner::File) => &of_file,
                _ => &texts,
            };
            let Some(text) = from.get(&key) else {
                return Err(ChangeError::Unknown { key });
            };
            let body = Body {
                key,
                text: text.clone(),
            };
            let entry = as_entry(&body).map_err(|_| {
                outbox::Error::invalid(format!("the text of the {} is no TOML", body.key))
            })?;
            if !out.is_empty() {
                out.push('\n');
            }
            let school = settings.school(&body.key.name.as_str().into());
            let token = school.and_then(|school| school.token.as_ref());
            if body.key.scope == Scope::School
                && matches!(token, Some(SecretSource::Sealed(_)))
                && !entry.contains(TOKEN_NOT_HERE)
            {
                out.push_str(TOKEN_NOT_HERE);
            }
            out.push_str(&entry);
        }
        Ok(out)
    }

    /// The text that rules, as its owner has it.
    ///
    /// # Errors
    /// Returns an error if the settings file or the database cannot be read.
    pub async fn text(&self, key: &SettingsKey) -> Result<Option<String>, ChangeError> {
        if self.layers.owner(key) == Some(Owner::File) {
            return Ok(self.bodies_of_file()?.remove(key));
        }
        Ok(self.present(key).await?.map(|version| version.body))
    }

    fn bodies_of_file(&self) -> Result<BTreeMap<SettingsKey, String>, ChangeError> {
        let file = self.layers.file();
        if file.schools.is_empty() && !self.layers.file_has_templates() {
            return Ok(BTreeMap::new());
        }
        let bodies = bodies_of_file(file)?;
        Ok(bodies
            .into_iter()
            .map(|body| (body.key, body.text))
            .collect())
    }

    /// The schools of the settings file.
    pub fn ids_of_file(&self) -> Vec<String> {
        let schools = self.layers.file().schools.iter();
        schools
            .map(|school| SettingsKey::school(&school.id))
            .filter(|key| self.layers.owner(key) == Some(Owner::File))
            .map(|key| key.name)
            .collect()
    }
}
