//! What a draft of a template would change at the schools that name it.

use mis_core::SchoolId;
use serde_json::Value;

use super::{ChangeError, Configuration};
use crate::{
    settings::{Group, LoadError, Problem, School, Settings, school_with_template},
    store::SettingsKey,
};

/// A school whose settings name a template.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateUse {
    /// The school.
    pub school: SchoolId,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its groups that a draft of the template changes, adds or takes away.
    pub changed: Vec<String>,
    /// What keeps the draft from ruling there.
    pub problems: Vec<Problem>,
}

impl Configuration {
    /// The schools that name a template, in the order of the settings, with what `draft` as the template's text would change
    /// there.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn template_uses(
        &self,
        template: &str,
        draft: Option<&str>,
    ) -> outbox::Result<Vec<TemplateUse>> {
        let settings = self.settings();
        let mut uses = Vec::new();
        for school in &settings.schools {
            if school.template.as_deref() != Some(template) {
                continue;
            }
            let mut one = TemplateUse {
                school: school.id.clone(),
                groups: school
                    .groups
                    .iter()
                    .map(|group| group.name.clone())
                    .collect(),
                changed: Vec::new(),
                problems: Vec::new(),
            };
            if let Some(draft) = draft {
                match self.school_with(&settings, school, (template, draft)).await {
                    Ok(then) => one.changed = changed(school, &then),
                    Err(ChangeError::Problems { problems, .. }) => one.problems = problems,
                    Err(ChangeError::Store(error)) => return Err(error),
                    // The school has just been removed.
                    Err(_) => continue,
                }
            }
            uses.push(one);
        }
        Ok(uses)
    }

    /// A school as it would be if this were the text of its template.
    pub(crate) async fn school_with(
        &self,
        settings: &Settings,
        school: &School,
        template: (&str, &str),
    ) -> Result<School, ChangeError> {
        let key = SettingsKey::from(&school.id);
        let own = self.present(&key).await?;
        let own = own.ok_or_else(|| self.unknown(&key))?;
        let name = format!("{key}, version {}", own.number);
        match school_with_template(settings, &school.id, &name, &own.body, template) {
            Ok(school) => Ok(school),
            Err(LoadError::Problems { problems, hints }) => {
                Err(ChangeError::Problems { problems, hints })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The names of the groups that differ, in the order of their names.
fn changed(now: &School, then: &School) -> Vec<String> {
    let differs = |name: &str| match (now.group(name), then.group(name)) {
        (Some(now), Some(then)) => content(now) != content(then),
        _ => true,
    };
    let names = now.groups.iter().chain(then.groups.iter());
    let mut names: Vec<_> = names.map(|group| group.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let differing = names.into_iter().filter(|name| differs(name));
    differing.map(str::to_owned).collect()
}

/// What a group's settings say; `null` where they have no JSON form.
fn content(group: &Group) -> (roster::GroupSettings, Option<&str>, [Value; 2]) {
    let json = [
        serde_json::to_value(&group.writeback),
        serde_json::to_value(&group.fields),
    ];
    (
        group.as_roster(),
        group.message.as_deref(),
        json.map(Result::unwrap_or_default),
    )
}
