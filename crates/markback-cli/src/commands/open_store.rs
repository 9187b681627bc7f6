//! Opens the service's database for a command that may run besides the service.

use anyhow::Context as _;
use markback::{settings::Settings, store::Store};
use secrecy::ExposeSecret as _;

/// The access of a command to the database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read only.
    Read,
    /// Writes data that the service processes.
    Write,
}

/// Opens the database in the settings. Only the service creates its tables.
///
/// # Errors
/// Returns an error if its address is missing or it cannot be opened.
pub(super) async fn open_store(settings: &Settings, access: Access) -> anyhow::Result<Store> {
    let url = settings.service.store_url()?;
    let url = existing(url.expose_secret());
    let clock = std::sync::Arc::new(outbox::SystemClock);
    let told = settings.service.store_told();
    if settings
        .service
        .store_file()?
        .is_some_and(|file| !file.exists())
    {
        anyhow::bail!(
            "there is no database {told}; `markback serve` creates it at its first start"
        );
    }
    Store::open_existing(&url, clock, access == Access::Read)
        .await
        .with_context(|| format!("the database {told} cannot be opened"))
}

/// The address of an existing database, so that a read-only command does not create an empty file.
fn existing(url: &str) -> String {
    if !url.starts_with("sqlite:") || url.contains("mode=") || url.contains(":memory:") {
        return url.to_owned();
    }
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}mode=rw")
}
