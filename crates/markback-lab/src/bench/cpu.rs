//! Processor time and load, as reported by the operating system.

use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// The processor time that a process has used so far, or `None` if there is no such process.
pub(super) fn processor_time(process: u32) -> Option<Duration> {
    let (mut system, pid) = (System::new().ok()?, Pid::from_u32(process));
    let cpu = ProcessRefreshKind::nothing().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, cpu);
    let process = system.process(pid)?;
    Some(Duration::from_millis(process.accumulated_cpu_time()))
}

/// Measures the load of all cores from its creation on.
pub(super) struct Load(System);

impl Load {
    /// Starts measuring.
    pub(super) fn start() -> Option<Self> {
        let mut system = System::new().ok()?;
        system.refresh_cpu_usage();
        Some(Self(system))
    }

    /// The load since the start, from 0 to 1.
    pub(super) fn since_start(mut self) -> f64 {
        self.0.refresh_cpu_usage();
        f64::from(self.0.global_cpu_usage()) / 100.0
    }
}

/// The memory of the machine in MiB.
pub(super) fn machine_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system.total_memory() / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_known_for_running_processes_only() {
        let begin = std::time::Instant::now();
        while processor_time(std::process::id()).unwrap() < Duration::from_millis(20) {
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
        assert_eq!(processor_time(u32::MAX >> 1), None);
    }

    #[test]
    fn the_load_is_a_share_of_all_cores() {
        let load = Load::start();
        std::hint::black_box((0..10_000_000u64).fold(0, |sum, n| sum ^ n.wrapping_mul(sum)));
        assert!((0.0..=1.0).contains(&load.unwrap().since_start()));
        assert!(machine_memory().unwrap() > 0);
    }
}
