//! The settings that rule now. They may be replaced while the service runs.

use std::sync::Arc;

use tokio::sync::watch;

use super::Settings;

/// The settings that rule now. Cheap to clone; clones are the same settings.
///
/// Whatever works by settings takes [`current`](Self::current) once for each request or batch, so that a decision under
/// way ends by the settings it began with.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    current: Arc<watch::Sender<Arc<Settings>>>,
}

impl LiveSettings {
    /// These settings, until they are replaced.
    pub fn new(settings: Settings) -> Self {
        let (current, _) = watch::channel(Arc::new(settings));
        Self {
            current: Arc::new(current),
        }
    }

    /// The settings that rule now.
    pub fn current(&self) -> Arc<Settings> {
        self.current.borrow().clone()
    }

    /// Lets other settings rule from now on.
    pub fn replace(&self, settings: impl Into<Arc<Settings>>) {
        self.current.send_replace(settings.into());
    }
}

impl From<Settings> for LiveSettings {
    fn from(settings: Settings) -> Self {
        Self::new(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_stays_and_what_is_taken_next_is_new() {
        let live = LiveSettings::new(Settings::default());
        let before = live.current();
        let mut next = Settings::default();
        next.service.store = "sqlite:other.db".to_owned();
        live.clone().replace(next);
        assert_eq!(before.service.store, "sqlite:markback.db");
        assert_eq!(live.current().service.store, "sqlite:other.db");
    }
}
