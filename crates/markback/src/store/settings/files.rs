//! The last valid text of each settings file, for a start when the file has a mistake.

use std::path::Path;

use chrono::{DateTime, Utc};
use outbox::{on_pool, on_tx};

use crate::store::Store;

const KEEP: &str = "INSERT INTO markback_settings_files (path, list, body, at_ms) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (path, list) DO UPDATE SET body = excluded.body, at_ms = excluded.at_ms";

const DROP: &str = "DELETE FROM markback_settings_files WHERE path = $1 AND list = $2";

const KEPT: &str =
    "SELECT list, body, at_ms FROM markback_settings_files WHERE path = $1 ORDER BY list";

/// A settings file as it was when it was last valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptFile {
    pub(crate) text: String,
    /// The text of the list of schools that it names.
    pub(crate) list: Option<String>,
    pub(crate) at: Option<DateTime<Utc>>,
}

impl Store {
    /// Keeps the text of a valid settings file, and of its list, in place of an earlier one.
    pub(crate) async fn keep_settings_file(
        &self,
        path: &Path,
        text: &str,
        list: Option<&str>,
    ) -> outbox::Result<()> {
        let (path, now) = (path.display().to_string(), self.now_ms());
        let mut tx = self.db.begin().await?;
        for (place, body) in [(0_i64, Some(text)), (1, list)] {
            match body {
                Some(body) => {
                    on_tx!(tx, conn => {
                        sqlx::query(KEEP).bind(&path).bind(place).bind(body).bind(now).execute(conn).await.map(|_| ())
                    })?;
                }
                None => {
                    on_tx!(tx, conn => {
                        sqlx::query(DROP).bind(&path).bind(place).execute(conn).await.map(|_| ())
                    })?;
                }
            }
        }
        tx.commit().await
    }

    /// A settings file as it was when it was last valid; `None` if it never was with this database.
    pub(crate) async fn kept_settings_file(&self, path: &Path) -> outbox::Result<Option<KeptFile>> {
        let path = path.display().to_string();
        let rows: Vec<(i64, String, i64)> = on_pool!(self.db, pool => {
            sqlx::query_as(KEPT).bind(&path).fetch_all(pool).await
        })?;
        let mut kept = None;
        for (list, body, at_ms) in rows {
            match (list, &mut kept) {
                (0, kept) => {
                    *kept = Some(KeptFile {
                        text: body,
                        list: None,
                        at: DateTime::from_timestamp_millis(at_ms),
                    });
                }
                (_, Some(KeptFile { list, .. })) => *list = Some(body),
                (_, None) => {}
            }
        }
        Ok(kept)
    }
}
