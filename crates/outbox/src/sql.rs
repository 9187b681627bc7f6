//! SQL templates for both databases.

use std::sync::OnceLock;

use crate::database::Engine;

/// A statement with placeholders that differ between the databases:
///
/// - `{now}`: the current time in ms, bound as `$1` (SQLite: the time; PostgreSQL: an offset to the server's clock);
/// - `{clock}`: the database's own time in ms, on which several processes agree;
/// - `{rows $2: id int, key text}`: the JSON array of arrays bound as `$2`, as a table with these columns;
/// - `{lock j}`: locks the rows of `j` and skips locked ones;
/// - `{open in partition j}`, `{open in order j}`: the job is open, written as the partition or order index needs it;
/// - `{any text j.queue}`, `{any int j.state}`: the column in a form that no index matches. A queue changes within seconds,
///   so the planner's statistics are usually wrong, and the statement must leave it no choice;
/// - `{greatest}`: the function that returns the greater of two numbers;
/// - `{text|text}`: the first text for SQLite, the second for PostgreSQL.
pub struct Sql {
    template: &'static str,
    sqlite: OnceLock<String>,
    postgres: OnceLock<String>,
}

impl Sql {
    /// Creates a statement from a template.
    pub const fn new(template: &'static str) -> Self {
        Self {
            template,
            sqlite: OnceLock::new(),
            postgres: OnceLock::new(),
        }
    }

    /// The statement for `engine`.
    pub fn on(&'static self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite.get_or_init(|| fill(self.template, engine)),
            Engine::Postgres => self.postgres.get_or_init(|| fill(self.template, engine)),
        }
    }
}

fn fill(template: &str, engine: Engine) -> String {
    let mut out = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((gap, after)) => {
                out.push_str(&replacement(gap, engine));
                rest = after;
            }
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

fn replacement(gap: &str, engine: Engine) -> String {
    let sqlite = engine == Engine::Sqlite;
    if gap == "now" {
        return if sqlite {
            "$1".to_owned()
        } else {
            // In a subquery, so that it is evaluated once and an index can be used.
            "(SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1)".to_owned()
        };
    }
    if gap == "clock" {
        return if sqlite {
            "CAST(unixepoch('subsec') * 1000 AS BIGINT)"
        } else {
            "(SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
        }
        .to_owned();
    }
    if gap == "greatest" {
        return if sqlite { "max" } else { "greatest" }.to_owned();
    }
    if let Some(table) = gap.strip_prefix("lock ") {
        return if sqlite {
            String::new()
        } else {
            format!("FOR UPDATE OF {table} SKIP LOCKED")
        };
    }
    if let Some(column) = gap.strip_prefix("any text ") {
        return format!("({column} || '')");
    }
    if let Some(column) = gap.strip_prefix("any int ") {
        return format!("({column} * 1)");
    }
    if let Some(table) = gap.strip_prefix("open in order ") {
        return format!("({table}.state + 0) = 0");
    }
    if let Some(table) = gap.strip_prefix("open in partition ") {
        return format!("({table}.state - 0) = 0");
    }
    if let Some(rows) = gap.strip_prefix("rows ") {
        return rows_of(rows, sqlite);
    }
    let (first, second) = gap.split_once('|').unwrap_or((gap, gap));
    if sqlite { first } else { second }.to_owned()
}

fn rows_of(spec: &str, sqlite: bool) -> String {
    let (param, columns) = spec.split_once(':').unwrap_or((spec, ""));
    let columns: Vec<String> = columns
        .split(',')
        .enumerate()
        .map(|(n, column)| {
            let (name, kind) = column.trim().split_once(' ').unwrap_or((column.trim(), ""));
            match (kind, sqlite) {
                ("int", false) => format!("(value->>{n})::bigint AS {name}"),
                _ => format!("value->>{n} AS {name}"),
            }
        })
        .collect();
    let from = if sqlite {
        format!("json_each({param})")
    } else {
        format!("jsonb_array_elements({param}::jsonb)")
    };
    format!("(SELECT {} FROM {from})", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_for_each_database() {
        let template = "SELECT {now}, {a|b} FROM {rows $2: id int, p text} r {lock r}";
        assert_eq!(
            fill(template, Engine::Sqlite),
            "SELECT $1, a FROM (SELECT value->>0 AS id, value->>1 AS p FROM json_each($2)) r "
        );
        assert_eq!(
            fill(template, Engine::Postgres),
            "SELECT (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1), b FROM (SELECT \
             (value->>0)::bigint AS id, value->>1 AS p FROM jsonb_array_elements($2::jsonb)) r FOR UPDATE OF r \
             SKIP LOCKED"
        );
    }
}
