//! The groups that students would be in by other conditions, from the people as last read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use mis_core::PersonKind;

use crate::{
    settings::{GroupSettings, Membership, Settings},
    split::{Individual, split},
    state::{RosterState, speaks},
    stay::on_roll,
};

impl RosterState {
    /// The group of each student by the conditions of these groups, by the student's current id at Wonde, as a sync would
    /// find it on this day without new data. `None` for a student in no group.
    ///
    /// Returns `None` if the students were not read, or if a condition needs a property that was not read.
    pub fn students_by_group(
        &self,
        groups: &[GroupSettings],
        today: NaiveDate,
    ) -> Option<BTreeMap<String, Option<String>>> {
        let known = self.kinds.get(&PersonKind::Student)?;
        let conditions = groups
            .iter()
            .filter(|group| group.kind == PersonKind::Student)
            .map(|group| GroupSettings {
                membership: Membership {
                    properties: Some(BTreeSet::new()),
                    ..group.membership.clone()
                },
                ..group.clone()
            });
        let groups: Vec<_> = conditions.collect();
        let needs = Settings::new(groups.clone()).needs();
        let needed = needs.get(&PersonKind::Student).into_iter().flatten();
        if known.full_at.is_none() || !needed.into_iter().all(|one| known.properties.contains(one))
        {
            return None;
        }
        let mut people = BTreeMap::new();
        for (key, identity) in known.keys.iter() {
            let records = identity.ids.iter().filter_map(|id| known.records.get(id));
            if let Some(record) = speaks(records, today) {
                let individual = Individual {
                    identity,
                    record,
                    children: Vec::new(),
                };
                people.insert(key, individual);
            }
        }
        let individuals = people.iter().map(|(key, person)| (*key, person));
        let split = split(PersonKind::Student, &groups, individuals, today);
        let mut found: BTreeMap<String, Option<String>> = people
            .values()
            .map(|person| (person.record.id.clone(), None))
            .collect();
        for (name, keys) in split.taken {
            for person in keys.iter().filter_map(|key| people.get(key)) {
                // Registers do not include those yet to start.
                let starts_later = person.record.pre_admission && !on_roll(person.record, today);
                if !starts_later {
                    found.insert(person.record.id.clone(), Some(name.clone()));
                }
            }
        }
        Some(found)
    }
}
