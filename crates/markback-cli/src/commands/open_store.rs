//! Opening the service's database for a command that works beside the service.

use anyhow::Context as _;
use markback::{settings::Settings, store::Store};
use secrecy::ExposeSecret as _;

/// What a command does with the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It looks.
    Read,
    /// It changes what the service goes on with.
    Write,
}

/// The store that the settings name. Its tables are the service's to make.
///
/// # Errors
/// When its address is not where the settings say, or it does not open.
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
        anyhow::bail!("there is no store {told}; `markback serve` makes it at its first start");
    }
    Store::open_existing(&url, clock, access == Access::Read)
        .await
        .with_context(|| format!("the store {told} cannot be opened"))
}

/// The address of a store that is there: a command that looks makes no empty file.
fn existing(url: &str) -> String {
    if !url.starts_with("sqlite:") || url.contains("mode=") || url.contains(":memory:") {
        return url.to_owned();
    }
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}mode=rw")
}
