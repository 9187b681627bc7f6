//! Compares the groups filled by the demo's service with the schools' MIS, person by person.

use std::collections::BTreeSet;

use mis_core::SchoolId;
use serde_json::{Value, json};
use wonde_sandbox::StudentInfo;

use super::{schools::School, stage::Stage};
use markback::settings::{Group, School as Settings};
use markback_console::output;

/// A group and its members.
pub(super) struct Filled {
    school: String,
    group: String,
    kind: String,
    people: usize,
    /// People who are wrongly in the group or missing.
    differ: usize,
}

/// All groups of all schools.
pub(super) struct Groups(Vec<Filled>);

impl Groups {
    /// The current events.
    pub(super) async fn of(stage: &Stage) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for school in &stage.schools {
            let id = SchoolId::from(school.id.as_str());
            let Some(settings) = stage.markback.school(&id) else {
                continue;
            };
            for group in settings.groups.iter() {
                let page = stage
                    .markback
                    .store()
                    .group_people(&id, &group.name)
                    .await?;
                let people = page.map(|page| page.people).unwrap_or_default();
                let filled: BTreeSet<_> =
                    people.into_iter().map(|member| member.person.id).collect();
                let wanted = wanted(stage, school, &settings, group)?;
                all.push(Filled {
                    school: school.name.clone(),
                    group: group.name.clone(),
                    kind: group.kind.to_string(),
                    people: filled.len(),
                    differ: filled.symmetric_difference(&wanted).count(),
                });
            }
        }
        Ok(Self(all))
    }

    /// Whether each group has exactly the right people.
    pub(super) fn hold(&self) -> bool {
        self.0.iter().all(|filled| filled.differ == 0)
    }

    pub(super) fn table(&self) -> String {
        let rows = self.0.iter().map(|filled| {
            let matches = match filled.differ {
                0 => "the same".to_owned(),
                differ => format!("{differ} differ"),
            };
            [
                filled.school.clone(),
                filled.group.clone(),
                filled.kind.clone(),
                filled.people.to_string(),
                matches,
            ]
        });
        output::table(["school", "group", "kind", "people", "the MIS has"], rows).to_string()
    }

    pub(super) fn json(&self) -> Value {
        let groups = self.0.iter().map(|filled| {
            json!({
                "school": filled.school,
                "group": filled.group,
                "kind": filled.kind,
                "people": filled.people,
                "differ": filled.differ,
            })
        });
        groups.collect()
    }
}

/// The expected members of a group, from the data of the MIS. It supports only the conditions that the demo uses.
fn wanted(
    stage: &Stage,
    school: &School,
    settings: &Settings,
    group: &Group,
) -> anyhow::Result<BTreeSet<String>> {
    let membership = &group.membership;
    let students = || -> anyhow::Result<Vec<StudentInfo>> {
        let students = stage.sandbox.students(&school.id)?;
        Ok(students
            .into_iter()
            .filter(|student| student.on_roll)
            .collect())
    };
    let in_years =
        |student: &StudentInfo, years: &[String]| years.is_empty() || years.contains(&student.year);
    Ok(match group.as_roster().kind {
        roster::PersonKind::Student => students()?
            .into_iter()
            .filter(|student| in_years(student, &membership.years))
            .map(|student| student.id)
            .collect(),
        roster::PersonKind::Staff => stage
            .sandbox
            .employees(&school.id)?
            .into_iter()
            .filter(|employee| employee.current)
            .map(|employee| employee.id)
            .collect(),
        roster::PersonKind::Parent => {
            let of: Vec<_> = membership
                .of
                .iter()
                .filter_map(|name| settings.group(name))
                .collect();
            let counts = |student: &StudentInfo| {
                of.iter()
                    .any(|group| in_years(student, &group.membership.years))
            };
            students()?
                .into_iter()
                .filter(counts)
                .flat_map(|student| student.contacts)
                .filter(|link| link.parental_responsibility)
                .map(|link| link.contact_id)
                .collect()
        }
    })
}
