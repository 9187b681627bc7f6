//! A school's group settings: members and properties.

use std::collections::{BTreeMap, BTreeSet};

use mis_core::{PersonKind, Property, same_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{guard::Guard, words};

/// The members of a group: people of its kind who meet every condition. The values in one list are alternatives,
/// compared without letter case, blanks and Unicode form. Without conditions everybody of the kind is a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Membership {
    /// Students in one of these year groups: "7", "Year 7", "R", "Lower Fourth".
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub years: Vec<String>,
    /// Students in one of these registration (tutor) groups.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub registrations: Vec<String>,
    /// Students of one of these houses.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub houses: Vec<String>,
    /// Students of one of these boarding houses; `"*"` matches any boarder.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub boarding: Vec<String>,
    /// Students at one of these campuses.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub campuses: Vec<String>,
    /// Students in, or staff of, one of these classes.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub classes: Vec<String>,
    /// Students or staff in one of these groups of the MIS.
    pub groups: Vec<GroupName>,
    /// Staff who teach (true) or do not (false).
    pub teaching: Option<bool>,
    /// Staff with one of these roles.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub roles: Vec<String>,
    /// Also students who are yet to start (true), if the school lets them be read.
    pub pre_admission: Option<bool>,
    /// Staff who are employed now (true, the default) or are not (false).
    pub current: Option<bool>,
    /// Parents who have parental responsibility for the student (true) or have not (false).
    pub parental_responsibility: Option<bool>,
    /// Parents up to this priority among the student's contacts; the first contact has priority 1.
    pub priority_max: Option<u32>,
    /// Parents who live with the student (true) or do not (false).
    pub lives_with: Option<bool>,
    /// Parents of students in these groups of the settings. Default: of any student.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub of: Vec<String>,
    /// Ids of people who are members regardless of the conditions. If this is the only setting, there are no others.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub include: Vec<String>,
    /// Ids of people who are not members regardless of the conditions.
    #[serde(deserialize_with = "words::one_or_many")]
    #[schemars(schema_with = "words::one_or_many_schema")]
    pub exclude: Vec<String>,
    /// The published properties of the members besides their ids. Default: name, year and registration. Nothing else is
    /// read or stored, except for what the conditions need.
    pub properties: Option<BTreeSet<Property>>,
}

/// A group of the MIS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupName {
    /// Its type at Wonde: `HOUSE`, `USER`, `COURSE`. Default: any type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
}

/// One group of a school's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Its name, unique within the school.
    pub name: String,
    /// Students, staff or parents.
    pub kind: PersonKind,
    /// Its members.
    pub membership: Membership,
}

/// The roster settings of one school.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The groups, in the order of the file: a person joins the first that takes them.
    pub groups: Vec<GroupSettings>,
    /// The limits for removals without approval.
    pub guard: Guard,
    /// Retention.
    pub keep: Keep,
    /// Identity settings.
    pub persons: Persons,
}

/// Settings for identities and unreadable records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persons {
    /// Numbers that events can use for students instead of ids. They are read and stored, but not published.
    pub numbers: BTreeSet<Property>,
    /// Whether contacts with the same name and the same email address or mobile number are one person.
    pub same_parent: bool,
    /// Days for which a former Wonde id of a person is still accepted. Default: as long as the person is stored.
    /// The key never expires.
    pub former_id_days: Option<u16>,
    /// The percentage of records of a kind that can contain unreadable values; above it the whole answer is held back.
    pub max_unread: u8,
}

impl Default for Persons {
    fn default() -> Self {
        Self {
            numbers: BTreeSet::new(),
            same_parent: false,
            former_id_days: None,
            max_unread: 20,
        }
    }
}

/// The overlap of incremental reads, and the retention of data of people who left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How much further back than the last sync an incremental one reads. Wonde's copy is updated every hour or two,
    /// and the time zone of the filter is unknown, so it must be several hours.
    pub overlap: chrono::TimeDelta,
    /// Days after which the data of a person who left is deleted.
    pub former_days: u16,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            overlap: chrono::TimeDelta::hours(4),
            former_days: 30,
        }
    }
}

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flaw {
    /// The key below the group: `years`.
    pub key: &'static str,
    /// The problem.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Membership {
    /// The keys of this part of a group's settings.
    pub const KEYS: [&'static str; 18] = [
        "years",
        "registrations",
        "houses",
        "boarding",
        "campuses",
        "classes",
        "groups",
        "teaching",
        "roles",
        "pre_admission",
        "current",
        "parental_responsibility",
        "priority_max",
        "lives_with",
        "of",
        "include",
        "exclude",
        "properties",
    ];

    /// The conditions that are set, each with the kinds of people it applies to.
    fn conditions(&self) -> Vec<(&'static str, &'static [PersonKind])> {
        use PersonKind::{Parent, Staff, Student};
        let all: [(&'static str, bool, &'static [PersonKind]); 14] = [
            ("years", !self.years.is_empty(), &[Student]),
            ("registrations", !self.registrations.is_empty(), &[Student]),
            ("houses", !self.houses.is_empty(), &[Student]),
            ("boarding", !self.boarding.is_empty(), &[Student]),
            ("campuses", !self.campuses.is_empty(), &[Student]),
            ("classes", !self.classes.is_empty(), &[Student, Staff]),
            ("groups", !self.groups.is_empty(), &[Student, Staff]),
            ("teaching", self.teaching.is_some(), &[Staff]),
            ("roles", !self.roles.is_empty(), &[Staff]),
            ("current", self.current.is_some(), &[Staff]),
            (
                "parental_responsibility",
                self.parental_responsibility.is_some(),
                &[Parent],
            ),
            ("priority_max", self.priority_max.is_some(), &[Parent]),
            ("lives_with", self.lives_with.is_some(), &[Parent]),
            ("of", !self.of.is_empty(), &[Parent]),
        ];
        all.into_iter()
            .filter(|(_, set, _)| *set)
            .map(|(key, _, kinds)| (key, kinds))
            .collect()
    }

    /// Whether everybody of the kind is a member.
    pub fn takes_all(&self) -> bool {
        self.conditions().is_empty() && self.include.is_empty()
    }

    /// Whether only people in `include` are members.
    pub(crate) fn takes_named_only(&self) -> bool {
        self.conditions().is_empty() && !self.include.is_empty()
    }

    /// The invalid settings of a group of this kind among the other groups of its school.
    pub fn flaws<'g>(
        &self,
        kind: PersonKind,
        others: impl Fn(&str) -> Option<PersonKind> + 'g,
    ) -> Vec<Flaw> {
        let mut flaws: Vec<_> = self
            .conditions()
            .into_iter()
            .filter(|(_, kinds)| !kinds.contains(&kind))
            .map(|(key, kinds)| {
                let whom: Vec<_> = kinds.iter().map(|kind| plural(*kind)).collect();
                let whom = whom.join(" or ");
                Flaw {
                    key,
                    message: format!("this applies only to {whom}"),
                    help: format!("remove it, or make it a group of {whom}"),
                }
            })
            .collect();
        for name in &self.of {
            let (message, help) = match others(name) {
                Some(PersonKind::Student) => continue,
                Some(_) => (
                    format!("the group {name:?} is not a group of students"),
                    "name groups with `kind = \"students\"`",
                ),
                None => (
                    format!("there is no group {name:?}"),
                    "name a group of this school exactly as in the settings",
                ),
            };
            flaws.push(Flaw {
                key: "of",
                message,
                help: help.to_owned(),
            });
        }
        if self.pre_admission.is_some() && kind != PersonKind::Student {
            flaws.push(Flaw {
                key: "pre_admission",
                message: "only students can be yet to start".to_owned(),
                help: "remove it, or make it a group of students".to_owned(),
            });
        }
        if self.priority_max == Some(0) {
            flaws.push(Flaw {
                key: "priority_max",
                message: "the first contact has priority 1".to_owned(),
                help: "write 1 for the first contact only, or remove it".to_owned(),
            });
        }
        for property in self.properties.iter().flatten() {
            if !property.is_of(kind) {
                flaws.push(Flaw {
                    key: "properties",
                    message: format!("{} have no `{property}`", plural(kind)),
                    help: format!("remove {:?}", property.as_str()),
                });
            }
        }
        let word = plural(kind);
        if let Some(id) = self.include.iter().find(|id| self.exclude.contains(id)) {
            flaws.push(Flaw {
                key: "exclude",
                message: format!("the id {id:?} is also in `include`"),
                help: format!(
                    "keep one of the two; an id in neither is treated like all other {word}"
                ),
            });
        }
        flaws
    }

    /// The published properties.
    pub fn told(&self, kind: PersonKind) -> BTreeSet<Property> {
        let all = self
            .properties
            .clone()
            .unwrap_or_else(|| Property::DEFAULT.into());
        all.into_iter().filter(|p| p.is_of(kind)).collect()
    }

    /// The properties to read: the published ones and those that the conditions need.
    fn needs(&self, kind: PersonKind) -> BTreeSet<Property> {
        let mut needs = self.told(kind);
        for (key, _) in self.conditions() {
            needs.extend(match key {
                "years" => Some(Property::Year),
                "registrations" => Some(Property::Registration),
                "houses" => Some(Property::House),
                "boarding" => Some(Property::Boarding),
                "campuses" => Some(Property::Campus),
                "classes" => Some(Property::Classes),
                "groups" => Some(Property::Groups),
                "teaching" => Some(Property::Teaching),
                "roles" => Some(Property::Roles),
                _ => None,
            });
        }
        needs.retain(|property| property.is_of(kind));
        needs
    }
}

/// The properties to read by kind of people. A kind that no group needs is not read.
pub type Needs = BTreeMap<PersonKind, BTreeSet<Property>>;

impl Settings {
    /// Creates settings with these groups and defaults otherwise.
    pub fn new(groups: Vec<GroupSettings>) -> Self {
        Self {
            groups,
            ..Self::default()
        }
    }

    /// The properties to read. Parents are found through their students, so students are read with them.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::new();
        for group in &self.groups {
            needs
                .entry(group.kind)
                .or_default()
                .extend(group.membership.needs(group.kind));
        }
        if needs.contains_key(&PersonKind::Parent) {
            needs
                .entry(PersonKind::Student)
                .or_default()
                .insert(Property::Contacts);
        }
        if let Some(students) = needs.get_mut(&PersonKind::Student) {
            students.extend(&self.persons.numbers);
        }
        if let Some(parents) = needs.get_mut(&PersonKind::Parent)
            && self.persons.same_parent
        {
            parents.extend([Property::Name, Property::Email, Property::Phone]);
        }
        needs
    }

    /// Whether a group includes students who are yet to start.
    pub(crate) fn takes_pre_admission(&self) -> bool {
        self.groups
            .iter()
            .any(|group| group.membership.pre_admission == Some(true))
    }

    /// The group with this name.
    pub fn group(&self, name: &str) -> Option<&GroupSettings> {
        self.groups
            .iter()
            .find(|group| same_text(&group.name, name))
    }
}

/// The plural.
pub(crate) fn plural(kind: PersonKind) -> &'static str {
    match kind {
        PersonKind::Student => "students",
        PersonKind::Staff => "staff",
        PersonKind::Parent => "parents",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Membership {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn numbers_and_single_words_are_read_as_lists() {
        let membership = read(serde_json::json!({"years": [7, "8"], "of": "Years 7-11"}));
        assert_eq!(membership.years, ["7", "8"]);
        assert_eq!(membership.of, ["Years 7-11"]);
    }

    #[test]
    fn unknown_keys_are_rejected_with_a_list_of_known_keys() {
        assert!(serde_json::from_value::<Membership>(serde_json::json!({"yeers": []})).is_err());
        let written = serde_json::to_value(Membership::default()).unwrap();
        let mut keys: Vec<_> = written.as_object().unwrap().keys().cloned().collect();
        let mut listed = Membership::KEYS.to_vec();
        keys.sort();
        listed.sort_unstable();
        assert_eq!(keys, listed);
    }

    #[test]
    fn conditions_of_another_kind_and_unknown_groups_are_reported() {
        let membership = read(serde_json::json!({
            "years": ["7"], "of": ["Staff", "Nobody"], "priority_max": 0,
            "include": ["A1"], "exclude": ["A1"], "properties": ["house"],
        }));
        let flaws = membership.flaws(PersonKind::Parent, |name| {
            (name == "Staff").then_some(PersonKind::Staff)
        });
        let keys: Vec<_> = flaws.iter().map(|flaw| flaw.key).collect();
        assert_eq!(
            keys,
            ["years", "of", "of", "priority_max", "properties", "exclude"]
        );
    }

    #[test]
    fn only_properties_that_a_group_needs_are_read() {
        let group = |name: &str, kind, json| GroupSettings {
            name: name.into(),
            kind,
            membership: read(json),
        };
        let settings = Settings::new(vec![
            group(
                "Curie",
                PersonKind::Student,
                serde_json::json!({"houses": ["Curie"], "properties": ["name"]}),
            ),
            group(
                "Teachers",
                PersonKind::Staff,
                serde_json::json!({"teaching": true}),
            ),
        ]);
        let needs = settings.needs();
        assert_eq!(
            needs[&PersonKind::Student],
            [Property::Name, Property::House].into()
        );
        assert_eq!(
            needs[&PersonKind::Staff],
            [Property::Name, Property::Teaching].into()
        );
        assert!(!needs.contains_key(&PersonKind::Parent));

        let parents = Settings::new(vec![group(
            "Parents",
            PersonKind::Parent,
            serde_json::json!({}),
        )]);
        assert_eq!(
            parents.needs()[&PersonKind::Student],
            [Property::Contacts].into()
        );
    }
}
