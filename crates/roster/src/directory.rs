//! The directory: who an id belongs to, which group has them, and by which id Wonde knows them today.

use std::collections::HashMap;

use chrono::NaiveDate;
use mis_core::PersonKind;

use crate::{
    identity::PersonKey,
    state::{State, speaks},
};

/// Finds a school's people by any id they go by or went by.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    people: Vec<Entry>,
    by_id: HashMap<String, usize>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id the host knows them by.
    pub key: PersonKey,
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// The id that Wonde knows them by today: what a mark must bear.
    pub id: String,
    /// The group that has them; none for those whom no group takes and those who left.
    pub group: Option<String>,
}

impl Directory {
    /// The directory of a school on a day. Where one id is of two people, a key goes before a present id and that before
    /// an old one, and students go before staff and parents.
    pub fn of(state: &State, today: NaiveDate) -> Self {
        let mut directory = Self::default();
        let mut former = Vec::new();
        for (kind, known) in &state.kinds {
            let groups: HashMap<&PersonKey, &str> = state
                .lists
                .iter()
                .filter(|(_, list)| list.kind == *kind)
                .flat_map(|(name, list)| list.members.keys().map(move |key| (key, name.as_str())))
                .collect();
            for (key, identity) in known.keys.iter() {
                let records = identity.ids.iter().filter_map(|id| known.roll.get(id));
                let group = groups.get(key).copied();
                let present = speaks(records, today).map(|record| record.id.clone());
                let listed = || {
                    let member = state.lists.get(group?)?.members.get(key)?;
                    Some(member.person.id.clone())
                };
                let entry = directory.people.len();
                directory.people.push(Entry {
                    key: key.clone(),
                    kind: *kind,
                    id: present.or_else(listed).unwrap_or_else(|| key.to_string()),
                    group: group.map(str::to_owned),
                });
                former.extend(identity.ids.iter().map(|id| (id.clone(), entry)));
            }
        }
        let keys = directory.people.iter().map(|entry| entry.key.to_string());
        let present = directory.people.iter().map(|entry| entry.id.clone());
        let ids: Vec<_> = keys.enumerate().map(|(entry, id)| (id, entry)).collect();
        let present: Vec<_> = present.enumerate().map(|(entry, id)| (id, entry)).collect();
        for (id, entry) in ids.into_iter().chain(present).chain(former) {
            directory.by_id.entry(id).or_insert(entry);
        }
        directory
    }

    /// A directory out of what [`Directory::ids`] gave.
    pub fn from_ids(ids: impl IntoIterator<Item = (String, Entry)>) -> Self {
        let mut directory = Self::default();
        let mut places: HashMap<(PersonKind, PersonKey), usize> = HashMap::new();
        for (id, entry) in ids {
            let place = *places
                .entry((entry.kind, entry.key.clone()))
                .or_insert_with(|| {
                    directory.people.push(entry);
                    directory.people.len() - 1
                });
            directory.by_id.insert(id, place);
        }
        directory
    }

    /// Every id with whom it belongs to, in no order.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.by_id
            .iter()
            .filter_map(|(id, place)| Some((id.as_str(), self.people.get(*place)?)))
    }

    /// Whom an id belongs to.
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.people.get(*self.by_id.get(id)?)
    }

    /// Everybody, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.people.iter()
    }

    /// How many people there are.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }
}
