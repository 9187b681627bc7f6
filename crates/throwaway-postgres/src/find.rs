//! Locates PostgreSQL's programs.

use std::path::{Path, PathBuf};

/// The folder with `initdb`, `pg_ctl`, `postgres` and `psql`.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Looks in `$POSTGRES_BIN`, in the folders that Linux distributions use (the highest version first), and in
    /// `$PATH`.
    ///
    /// # Errors
    /// Says where was looked.
    pub fn find() -> Result<Self, String> {
        let named = std::env::var_os("POSTGRES_BIN").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        named
            .into_iter()
            .chain(versions(Path::new("/usr/lib/postgresql"), ""))
            .chain(versions(Path::new("/usr"), "pgsql-"))
            .chain(std::env::split_paths(&path))
            .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
            .map(|folder| Self { folder })
            .ok_or_else(|| {
                "looked in $POSTGRES_BIN, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin and $PATH"
                    .to_owned()
            })
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The `bin` folders of all versions in `root`, highest first.
fn versions(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}
