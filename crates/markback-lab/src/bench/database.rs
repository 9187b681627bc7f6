//! Empty databases.

use std::{
    path::{Path, PathBuf},
    str::FromStr as _,
};

use anyhow::Context as _;
use rand::RngExt as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};
use url::Url;

use super::stage::Stage;

/// A separate database for one measurement.
pub(super) struct Fresh {
    pub(super) url: String,
    made_on: Option<(Url, String)>,
}

impl Fresh {
    /// A file in the stage's folder.
    pub(super) fn sqlite(stage: &Stage) -> anyhow::Result<Self> {
        Self::sqlite_in(stage.folder.path())
    }

    /// A file in a folder that the caller removes.
    pub(super) fn sqlite_in(folder: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("store-")
            .tempdir_in(folder)
            .context("the folder for the database cannot be created")?
            // It goes with the folder that it is in.
            .keep();
        Ok(Self {
            url: format!("sqlite://{}", folder.join("markback.db").display()),
            made_on: None,
        })
    }

    /// A database on this server.
    pub(super) async fn postgres(server: &Url) -> anyhow::Result<Self> {
        let name = format!("markback_bench_{:016x}", rand::rng().random::<u64>());
        run(server, format!("CREATE DATABASE {name}"))
            .await
            .context("the database cannot be created on the PostgreSQL server; check the user's privileges")?;
        let mut url = server.clone();
        url.set_path(&name);
        Ok(Self {
            url: url.into(),
            made_on: Some((server.clone(), name)),
        })
    }

    /// The file, if it is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite://").map(PathBuf::from)
    }

    /// Removes the database. A file goes with the stage's folder.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        if let Some((server, name)) = self.made_on {
            run(&server, format!("DROP DATABASE {name} WITH (FORCE)"))
                .await
                .with_context(|| format!("the database {name} could not be removed; drop it"))?;
        }
        Ok(())
    }
}

/// The server's version and durability settings in one line.
pub(super) async fn durability(server: &Url) -> anyhow::Result<String> {
    let mut connection = connect(server).await?;
    let mut words = Vec::new();
    for (name, setting) in [
        ("PostgreSQL", "server_version"),
        ("fsync", "fsync"),
        ("synchronous_commit", "synchronous_commit"),
        ("full_page_writes", "full_page_writes"),
    ] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await?;
        words.push(format!("{name} {value}"));
    }
    connection.close().await?;
    Ok(words.join(", "))
}

async fn run(server: &Url, sql: String) -> anyhow::Result<()> {
    let mut connection = connect(server).await?;
    // The name is ours, of letters and digits.
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

async fn connect(server: &Url) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(server.as_str())
        .ok()
        .context("--postgres-url is not a valid PostgreSQL URL")?;
    options
        .disable_statement_logging()
        .connect()
        .await
        .context("the PostgreSQL server cannot be reached")
}
