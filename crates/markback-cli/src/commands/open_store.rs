//! Opening the service's database for a command that works beside the service.

use anyhow::Context as _;
use markback::{settings::Settings, store::Store};
use secrecy::ExposeSecret as _;

/// The store that the settings name.
///
/// # Errors
/// When its address is not where the settings say, or it does not open.
pub(super) async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let url = settings.service.store_url()?;
    let url = existing(url.expose_secret());
    let clock = std::sync::Arc::new(outbox::SystemClock);
    let told = settings.service.store_told();
    if is_missing(&url) {
        anyhow::bail!(
            "there is no store {told}; `markback serve` makes it at its first start; a relative path begins at the folder that a program is started in"
        );
    }
    Store::open(&url, outbox::Settings::default(), clock)
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

/// Whether this is the address of a file that is not there.
fn is_missing(url: &str) -> bool {
    let Some(path) = url.strip_prefix("sqlite:") else {
        return false;
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split('?').next().unwrap_or(path);
    !std::path::Path::new(path).exists()
}
