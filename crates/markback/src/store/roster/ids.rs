//! The owners of ids: the school's directory as last synced.

use std::collections::{BTreeMap, BTreeSet};

use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use roster::{Directory, Entry, IdKind, PersonKey};

use super::{kind_of, kind_word, people::run};
use crate::store::Store;

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
