//! The owners of ids: the school's directory as last synced.

use std::collections::{BTreeMap, BTreeSet};

use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use roster::{Directory, Entry, IdKind, PersonKey};

use super::{kind_of, kind_word, people::run};
use crate::store::{Store, row::row};

const IDS: &str =
    "SELECT sort, id, person, kind, present, grp FROM markback_roster_directory WHERE school = $1";
static PUT_IDS: Sql = Sql::new(
    "INSERT INTO markback_roster_directory (school, sort, id, person, kind, present, grp) \
     SELECT $2, r.sort, r.id, r.person, r.kind, r.present, r.grp \
     FROM {rows $1: sort text, id text, person text, kind text, present text, grp text} r WHERE true \
     ON CONFLICT (school, kind, sort, id, person) DO UPDATE SET present = excluded.present, grp = excluded.grp",
);
static DROP_IDS: Sql = Sql::new(
    "DELETE FROM markback_roster_directory WHERE school = $2 AND (kind, sort, id, person) IN \
     (SELECT r.kind, r.sort, r.id, r.person FROM {rows $1: kind text, sort text, id text, person text} r)",
);

row! {
    /// Somebody to whom an id belongs. The fields of a person are empty where it belongs to nobody.
    #[derive(Debug)]
    pub(in crate::store) struct OwnerRow {
        school: String,
        asked: String,
        sort: Option<String>,
        person: Option<String>,
        kind: Option<String>,
        present: Option<String>,
        grp: Option<String>,
    }
}

/// Whom ids belong to, at schools whose people have been read. The kinds are named so that the primary key serves.
pub(in crate::store) static OWNERS: Sql = Sql::new(
    "SELECT s.school, r.id AS asked, d.sort, d.person, d.kind, d.present, d.grp \
     FROM {rows $1: school text, sort text, id text} r \
     JOIN markback_roster_schools s ON s.school = r.school AND s.ready = 1 \
     LEFT JOIN markback_roster_directory d ON d.school = r.school AND d.kind IN ('student', 'staff', 'parent') \
       AND d.sort = r.sort AND d.id = r.id",
);

type Row = (String, String, String, String, String, Option<String>);

/// Kind of people, kind of id, id, person.
type Place<'a> = (&'a str, &'a str, &'a str, &'a str);

impl Store {
    /// All ids with their owners.
    pub(crate) async fn ids(
        &self,
        school: &SchoolId,
    ) -> outbox::Result<Vec<(IdKind, String, Entry)>> {
        let found: Vec<Row> = on_pool!(self.db, pool => sqlx::query_as(IDS).bind(school.as_str()).fetch_all(pool).await)?;
        let sort_of = |word: &str| word.parse::<IdKind>().ok();
        Ok(found
            .into_iter()
            .filter_map(|(sort, id, person, kind, present, group)| {
                let entry = Entry {
                    key: PersonKey::new(person),
                    kind: kind_of(&kind)?,
                    id: present,
                    group,
                };
                Some((sort_of(&sort)?, id, entry))
            })
            .collect())
    }

    /// Those of a school's people to whom these ids of these kinds belong; `None` before its students have been read for the
    /// first time.
    pub(crate) async fn owners(
        &self,
        school: &SchoolId,
        ids: &BTreeSet<&str>,
        by: &[IdKind],
    ) -> outbox::Result<Option<Directory>> {
        let keys: Vec<_> = ids
            .iter()
            .flat_map(|id| by.iter().map(|sort| (school.as_str(), sort.as_str(), *id)))
            .collect();
        let found = self
            .ask_together(&self.asked.owners, &OWNERS, &keys)
            .await?;
        let mine = found.iter().filter(|row| row.school == school.as_str());
        let mut ready = false;
        let owners = mine.inspect(|_| ready = true).filter_map(|row| {
            let entry = Entry {
                key: PersonKey::new(row.person.clone()?),
                kind: kind_of(row.kind.as_deref()?)?,
                id: row.present.clone()?,
                group: row.grp.clone(),
            };
            Some((row.sort.as_deref()?.parse().ok()?, row.asked.clone(), entry))
        });
        let directory = Directory::from_ids(owners);
        Ok(ready.then_some(directory))
    }

    pub(super) async fn put_ids(
        &self,
        tx: &mut Tx,
        school: &str,
        directory: &Directory,
    ) -> outbox::Result<()> {
        let stored: Vec<Row> =
            on_tx!(tx, conn => sqlx::query_as(IDS).bind(school).fetch_all(conn).await)?;
        let before: BTreeMap<Place<'_>, (&str, Option<&str>)> = stored
            .iter()
            .map(|(sort, id, person, kind, present, group)| {
                (
                    (kind.as_str(), sort.as_str(), id.as_str(), person.as_str()),
                    (present.as_str(), group.as_deref()),
                )
            })
            .collect();
        let after: BTreeMap<Place<'_>, (&str, Option<&str>)> = directory
            .ids()
            .map(|(sort, id, entry)| {
                let place = (kind_word(entry.kind), sort.as_str(), id, entry.key.as_str());
                (place, (entry.id.as_str(), entry.group.as_deref()))
            })
            .collect();
        let gone: BTreeSet<_> = before
            .keys()
            .filter(|place| !after.contains_key(*place))
            .collect();
        let put: Vec<_> = after
            .iter()
            .filter(|(place, entry)| before.get(*place) != Some(entry))
            .map(|((kind, sort, id, person), (present, group))| {
                (sort, id, person, kind, present, group)
            })
            .collect();
        run(tx, &DROP_IDS, school, &gone.into_iter().collect::<Vec<_>>()).await?;
        run(tx, &PUT_IDS, school, &put).await
    }
}
