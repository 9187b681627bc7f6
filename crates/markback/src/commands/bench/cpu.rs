//! How busy the machine is, where the system tells.

/// The cores' time so far, in ticks: all of it, and what of it nobody used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy {
    all: u64,
    idle: u64,
}

impl Busy {
    /// As of now.
    pub(super) fn now() -> Option<Self> {
        Self::read(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The share of the cores' time that was used since, from 0 to 1.
    pub(super) fn since(self) -> Option<f64> {
        self.until(Self::now()?)
    }

    fn until(self, later: Self) -> Option<f64> {
        let all = later.all.checked_sub(self.all).filter(|all| *all > 0)?;
        let idle = later.idle.saturating_sub(self.idle).min(all);
        #[expect(clippy::cast_precision_loss, reason = "a share is not that precise")]
        let share = (all - idle) as f64 / all as f64;
        Some(share)
    }

    fn read(text: &str) -> Option<Self> {
        // user, nice, system, idle, waiting for the disk, and others
        let ticks = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = ticks
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        Some(Self {
            all: ticks.iter().take(8).sum(),
            idle: ticks.get(3)? + ticks.get(4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_disk_is_not_being_busy() {
        let before = Busy::read("cpu  10 0 10 100 0 0 0 0 0 0\ncpu0 1").unwrap();
        let after = Busy::read("cpu  30 0 20 150 20 0 0 0 0 0\n").unwrap();
        assert_eq!(before.until(after), Some(0.3));
        assert_eq!(before.until(before), None);
        assert!(Busy::read("intr 5").is_none());
    }
}
