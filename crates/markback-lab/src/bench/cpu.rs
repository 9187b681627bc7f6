//! How busy the machine and single processes are, where the system tells.

use std::time::Duration;

/// Ticks in a second, as Linux tells them whatever it counts in.
const TICKS: u64 = 100;

/// The processor time of a process so far, by its number or `self`.
pub(super) fn processor_time(process: &str) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    ticks_of(&text).map(|ticks| Duration::from_millis(ticks * 1000 / TICKS))
}

/// User's and system's ticks. The process's name may hold anything, so what counts begins behind it.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(user + system)
}

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
    fn a_process_may_have_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4 1 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("7 nothing"), None);
    }

    #[test]
    fn waiting_for_the_disk_is_not_being_busy() {
        let before = Busy::read("cpu  10 0 10 100 0 0 0 0 0 0\ncpu0 1").unwrap();
        let after = Busy::read("cpu  30 0 20 150 20 0 0 0 0 0\n").unwrap();
        assert_eq!(before.until(after), Some(0.3));
        assert_eq!(before.until(before), None);
        assert!(Busy::read("intr 5").is_none());
    }
}
