//! Cores of their own for the processes of a measurement with several nodes, so that none slows the others down.

use std::fmt::Write as _;

use anyhow::Context as _;

/// Which cores each process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Division {
    /// The measuring process, with sandbox and sender.
    pub(super) bench: Vec<usize>,
    /// The PostgreSQL server.
    pub(super) server: Vec<usize>,
    pub(super) nodes: Vec<Vec<usize>>,
}

/// Divides the cores, or returns `None` if there are too few. All get the same number; what is left over goes to the
/// server and the measuring process, because the nodes are compared with each other.
pub(super) fn divide(cores: &[usize], nodes: usize) -> Option<Division> {
    let parts = nodes + 2;
    let each = cores.len() / parts;
    if each == 0 {
        return None;
    }
    let spare = cores.len() - each * parts;
    let mut rest = cores.iter().copied();
    let mut take = |count| rest.by_ref().take(count).collect();
    Some(Division {
        bench: take(each + spare / 2),
        server: take(each + spare.div_ceil(2)),
        nodes: (0..nodes).map(|_| take(each)).collect(),
    })
}

/// Processes that are bound to their cores until this is dropped.
#[derive(Debug)]
pub(super) struct Bound {
    division: Division,
    /// The cores that this process had before.
    before: Vec<usize>,
    server: Option<u32>,
}

impl Bound {
    /// The cores of a node.
    pub(super) fn node(&self, n: usize) -> Option<&[usize]> {
        self.division.nodes.get(n).map(Vec::as_slice)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Whoever cannot be given all cores again ends soon anyway.
        let _ = system::bind(std::process::id(), &self.before);
        if let Some(server) = self.server {
            let _ = system::bind_family(server, &self.before);
        }
    }
}

/// Binds this process and the server, if its process is named, for the largest of these numbers of nodes; smaller numbers
/// use the same division. Also returns a note for the report, unless there is only one node.
pub(super) fn bind(
    numbers: &[usize],
    server: Option<u32>,
) -> anyhow::Result<(Option<Bound>, Option<String>)> {
    let nodes = numbers.iter().copied().max().unwrap_or(0);
    if nodes < 2 {
        return Ok((None, None));
    }
    let Some(cores) = system::cores() else {
        let note =
            "All processes share the cores: they are bound to cores of their own on Linux only.";
        return Ok((None, Some(note.to_owned())));
    };
    let Some(division) = divide(&cores, nodes) else {
        let note = format!(
            "All processes share the cores: with {nodes} nodes, each process has cores of its own on a machine with {} \
             cores or more; here are {}.",
            nodes + 2,
            cores.len()
        );
        return Ok((None, Some(note)));
    };
    let note = describe(&division, server.is_some());
    let bound = Bound {
        division,
        before: cores,
        server,
    };
    system::bind(std::process::id(), &bound.division.bench)
        .context("this process cannot be bound to cores")?;
    if let Some(server) = server {
        system::bind_family(server, &bound.division.server)
            .context("the PostgreSQL server cannot be bound to cores")?;
    }
    Ok((Some(bound), Some(note)))
}

fn describe(division: &Division, binds_server: bool) -> String {
    let mut note = format!(
        "Cores while nodes on PostgreSQL are compared: sandbox and sender {}, ",
        list(&division.bench)
    );
    if binds_server {
        let _ = write!(note, "PostgreSQL {}, ", list(&division.server));
    } else {
        let _ = write!(
            note,
            "PostgreSQL any, as it was not started by `cargo xtask bench` ({} are left to it), ",
            list(&division.server)
        );
    }
    let nodes: Vec<String> = division.nodes.iter().map(|cores| list(cores)).collect();
    let _ = write!(note, "nodes {}.", nodes.join(" and "));
    note
}

fn list(cores: &[usize]) -> String {
    let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
    cores.join(", ")
}

/// Starts a process on these cores, or on all.
pub(super) fn start<T>(
    cores: Option<&[usize]>,
    spawn: impl FnOnce() -> std::io::Result<T>,
) -> std::io::Result<T> {
    match cores {
        Some(cores) => system::start(cores, spawn),
        None => spawn(),
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::{collections::BTreeSet, fs, io};

    use rustix::{
        process::Pid,
        thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    };
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

    /// The cores that this thread may use.
    pub(super) fn cores() -> Option<Vec<usize>> {
        let set = sched_getaffinity(None).ok()?;
        let cores = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core));
        Some(cores.collect())
    }

    /// Binds all threads of a process; later ones and later children inherit it.
    pub(super) fn bind(process: u32, cores: &[usize]) -> io::Result<()> {
        let set = set(cores);
        let mut bound = BTreeSet::new();
        loop {
            let before = bound.len();
            for task in fs::read_dir(format!("/proc/{process}/task"))? {
                let task = task?.file_name();
                let Some(thread) = task.to_str().and_then(|task| task.parse().ok()) else {
                    continue;
                };
                if bound.insert(thread) {
                    match sched_setaffinity(Pid::from_raw(thread), &set) {
                        // It ended in between.
                        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            // Threads that were started meanwhile are found in another round.
            if bound.len() == before {
                return Ok(());
            }
        }
    }

    /// Binds a process and its children.
    pub(super) fn bind_family(process: u32, cores: &[usize]) -> io::Result<()> {
        bind(process, cores)?;
        let mut system = System::new().map_err(io::Error::other)?;
        let kind = ProcessRefreshKind::nothing();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        for (pid, child) in system.processes() {
            if child.parent().map(sysinfo::Pid::as_u32) == Some(process) {
                match bind(pid.as_u32(), cores) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A child inherits the cores of the thread that starts it.
    pub(super) fn start<T>(
        cores: &[usize],
        spawn: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let before = sched_getaffinity(None)?;
        sched_setaffinity(None, &set(cores))?;
        let started = spawn();
        sched_setaffinity(None, &before)?;
        started
    }

    fn set(cores: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
            set.set(*core);
        }
        set
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    pub(super) fn cores() -> Option<Vec<usize>> {
        None
    }

    pub(super) fn bind(_: u32, _: &[usize]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn bind_family(_: u32, _: &[usize]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn start<T>(_: &[usize], spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        spawn()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1, [None, None, None])]
    #[case(2, [None, None, None])]
    #[case(4, [Some((1, 2, 1)), Some((1, 1, 1)), None])]
    #[case(8, [Some((3, 3, 2)), Some((2, 2, 2)), Some((2, 2, 1))])]
    #[case(16, [Some((5, 6, 5)), Some((4, 4, 4)), Some((4, 4, 2))])]
    fn cores_are_divided_for_one_two_and_four_nodes(
        #[case] cores: usize,
        #[case] expected: [Option<(usize, usize, usize)>; 3],
    ) {
        // Not all machines count from 0 without gaps.
        let cores: Vec<usize> = (0..cores).map(|core| core * 2 + 1).collect();
        for (nodes, expected) in [1, 2, 4].into_iter().zip(expected) {
            let division = divide(&cores, nodes);
            let Some(division) = division else {
                assert_eq!(expected, None, "{nodes} nodes");
                continue;
            };
            assert_eq!(division.nodes.len(), nodes);
            for node in &division.nodes {
                let sizes = (division.bench.len(), division.server.len(), node.len());
                assert_eq!(Some(sizes), expected, "{nodes} nodes");
            }
            let mut all = [division.bench, division.server].concat();
            all.extend(division.nodes.concat());
            assert_eq!(all, cores, "each core is used once");
        }
    }

    #[test]
    fn the_report_says_who_has_which_cores() {
        let division = divide(&[0, 1, 2, 3], 2).unwrap();
        assert_eq!(
            describe(&division, true),
            "Cores while nodes on PostgreSQL are compared: sandbox and sender 0, PostgreSQL 1, nodes 2 and 3."
        );
        assert!(describe(&division, false).contains("PostgreSQL any, as it was not started"));
    }

    #[test]
    fn one_node_alone_is_not_bound() {
        let (bound, note) = bind(&[1], None).unwrap();
        assert!(bound.is_none() && note.is_none());
    }

    #[test]
    fn a_machine_that_is_too_small_is_told() {
        let (bound, note) = bind(&[1, 1_023], None).unwrap();
        assert!(bound.is_none());
        let note = note.unwrap();
        assert!(note.starts_with("All processes share the cores"), "{note}");
    }

    #[cfg(target_os = "linux")]
    mod on_linux {
        use std::process::{Command, Stdio};

        use super::super::{start, system};

        fn allowed(process: u32) -> String {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            line.unwrap().trim().to_owned()
        }

        #[test]
        fn a_process_starts_on_its_cores_and_can_be_bound_to_others() {
            let cores = system::cores().unwrap();
            let (first, last) = (cores[0], *cores.last().unwrap());
            let mut child = start(Some(&[last]), || {
                Command::new("cat")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .spawn()
            })
            .unwrap();
            let process = child.id();
            assert_eq!(allowed(process), last.to_string());
            assert_eq!(
                system::cores().unwrap(),
                cores,
                "the starting thread keeps its cores"
            );
            system::bind(process, &[first]).unwrap();
            let bound = allowed(process);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(bound, first.to_string());
        }

        #[test]
        fn children_are_bound_with_their_parent() {
            let cores = system::cores().unwrap();
            let last = *cores.last().unwrap();
            // The child tells that it runs, and both end when their input does.
            let mut parent = Command::new("sh")
                .args(["-c", "sh -c 'echo $$; read line'; :"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut out = std::io::BufReader::new(parent.stdout.take().unwrap());
            std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            let child: u32 = line.trim().parse().unwrap();
            system::bind_family(parent.id(), &[last]).unwrap();
            let bound = (allowed(parent.id()), allowed(child));
            drop(parent.stdin.take());
            parent.wait().unwrap();
            assert_eq!(bound, (last.to_string(), last.to_string()));
        }
    }
}
