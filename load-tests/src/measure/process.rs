//! CPU time and memory of processes and their descendants, from `/proc`.
//!
//! A process that ends takes its figures along, so the meter is read every second and keeps the last reading of each: what
//! is lost is at most a second's worth of a process that died, never the years before it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// `/proc/<pid>/stat` counts in these, fixed by Linux's user-space interface (USER_HZ) at 100 a second.
const TICK: Duration = Duration::from_millis(10);

/// A process to be watched with all its descendants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What the report calls it.
    pub label: String,
    /// Process id.
    pub pid: u32,
}

/// Reading of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Process id.
    pub pid: u32,
    /// `label` of its root and its own name, with the first argument, as in `tollgate: tollgate engine`.
    pub name: String,
    /// Time on a CPU since it began, user and system.
    pub cpu: Duration,
    /// Greatest resident size so far, in bytes.
    pub peak_resident_bytes: u64,
}

/// Watches process trees.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    roots: Vec<Root>,
    seen: BTreeMap<u32, Usage>,
}

impl std::str::FromStr for Root {
    type Err = String;

    /// `PID` or `LABEL=PID`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (label, pid) = text.rsplit_once('=').unwrap_or(("server", text));
        let pid = pid.parse().map_err(|_| format!("{text:?} is not PID or LABEL=PID"))?;
        Ok(Self { label: label.to_owned(), pid })
    }
}

impl Meter {
    /// Watches these trees; descendants are found at each reading.
    #[must_use]
    pub fn new(roots: Vec<Root>) -> Self {
        Self { roots, seen: BTreeMap::new() }
    }

    /// Reads all processes of the trees; those that are gone keep their last reading.
    pub fn read(&mut self) -> Vec<Usage> {
        let parents = parents();
        let trees = self.roots.iter().map(|root| (root.label.clone(), tree(root.pid, &parents)));
        for (label, pids) in trees.collect::<Vec<_>>() {
            pids.into_iter().for_each(|pid| self.note(pid, &label));
        }
        self.seen.values().cloned().collect()
    }

    /// Forgets how large the processes have been: the next reading tells the greatest size from now on. Answers whether the
    /// system let us.
    pub fn forget_peaks(&mut self) -> bool {
        let parents = parents();
        let pids: Vec<u32> = self.roots.iter().flat_map(|root| tree(root.pid, &parents)).collect();
        self.seen.clear();
        // 5 resets VmHWM, see proc(5).
        pids.into_iter().all(|pid| fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok())
    }

    /// A process that has ended but was not waited for yet still tells its CPU time, but neither its command nor its memory.
    fn note(&mut self, pid: u32, label: &str) {
        let Some(mut now) = usage(pid, label) else { return };
        if let Some(before) = self.seen.get(&pid).filter(|_| now.peak_resident_bytes == 0) {
            now = Usage { cpu: now.cpu, ..before.clone() };
        }
        self.seen.insert(pid, now);
    }
}

/// CPU time of this process so far.
#[must_use]
pub fn own_cpu() -> Duration {
    usage(std::process::id(), "").map_or(Duration::ZERO, |usage| usage.cpu)
}

/// CPU time by name between two readings of one meter.
#[must_use]
pub fn between(before: &[Usage], after: &[Usage]) -> BTreeMap<String, Duration> {
    let mut by_name: BTreeMap<String, Duration> = BTreeMap::new();
    for usage in after {
        let earlier = before.iter().find(|known| known.pid == usage.pid).map_or(Duration::ZERO, |known| known.cpu);
        *by_name.entry(usage.name.clone()).or_default() += usage.cpu.saturating_sub(earlier);
    }
    by_name
}

/// Process → parent, of every process that can be read.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, Stat::read(pid)?.parent))).collect()
}

/// A process and all its descendants, parents before their children.
#[must_use]
pub fn tree_of(root: u32) -> Vec<u32> {
    tree(root, &parents())
}

fn tree(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(pid, of)| *of == parent && *pid != parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

fn usage(pid: u32, label: &str) -> Option<Usage> {
    let stat = Stat::read(pid)?;
    let name = format!("{label}: {}", command(pid).unwrap_or(stat.name));
    Some(Usage { pid, name, cpu: TICK * stat.ticks, peak_resident_bytes: peak_resident(pid).unwrap_or(0) })
}

/// Program name and first argument, where that is a subcommand.
fn command(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut parts = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = parts.next()?;
    let program = program.rsplit('/').next()?.to_owned();
    let subcommand = parts.next().filter(|part| !part.is_empty() && !part.starts_with(['-', '/']));
    match (program.is_empty(), subcommand) {
        (true, _) => None,
        (false, Some(subcommand)) => Some(format!("{program} {subcommand}")),
        (false, None) => Some(program),
    }
}

fn peak_resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().split(' ').next()?;
    kilobytes.parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}

/// What we need of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    ticks: u32,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `pid (name) state ppid …`; the name may hold anything, also `) `, so it ends at the last one.
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.rsplit_once(") ")?;
        let name = before.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = after.split(' ').collect();
        // Of the fields after the name, 0 is the state, 1 the parent, 11 and 12 user and system time.
        let ticks = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
        Some(Self { name, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "42 (odd) name) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(Stat::parse(line), Some(Stat { name: "odd) name".into(), parent: 7, ticks: 200 }));
    }

    #[test]
    fn a_child_is_counted_with_its_parent_also_after_its_end() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let mut meter = Meter::new(vec![Root { label: "tests".into(), pid: std::process::id() }]);
        // `spawn` returns when the child is a new program, which can be before the kernel shows its command line.
        let shown = std::time::Instant::now() + Duration::from_secs(20);
        while fs::read(format!("/proc/{}/cmdline", child.id())).unwrap() != b"sleep\x0030\x00"
            && std::time::Instant::now() < shown
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let running = meter.read();
        assert!(running.iter().any(|usage| usage.name == "tests: sleep 30"), "{running:?}");
        assert!(running.iter().all(|usage| usage.peak_resident_bytes > 0));
        child.kill().unwrap();
        // Ended, but not waited for: its command line is gone.
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while peak_resident(child.id()).is_some() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(meter.read().iter().any(|usage| usage.name == "tests: sleep 30" && usage.peak_resident_bytes > 0));
        child.wait().unwrap();
        assert!(meter.read().iter().any(|usage| usage.name == "tests: sleep 30"));
    }

    #[test]
    fn work_shows_as_cpu_time() {
        let before = own_cpu();
        let until = std::time::Instant::now() + Duration::from_secs(20);
        let mut word = 1;
        while own_cpu() < before + Duration::from_millis(50) && std::time::Instant::now() < until {
            for _ in 0..100_000 {
                word = crate::workload::facts::mix(word);
            }
        }
        assert!(own_cpu() >= before + Duration::from_millis(50), "{word}");
    }

    #[test]
    fn time_between_two_readings_is_summed_by_name() {
        let usage = |pid, name: &str, seconds| Usage {
            pid,
            name: name.into(),
            cpu: Duration::from_secs(seconds),
            peak_resident_bytes: 0,
        };
        let spent =
            between(&[usage(1, "a", 1), usage(2, "a", 2)], &[usage(1, "a", 3), usage(2, "a", 2), usage(3, "b", 4)]);
        assert_eq!(spent, BTreeMap::from([("a".into(), Duration::from_secs(2)), ("b".into(), Duration::from_secs(4))]));
    }

    #[test]
    fn a_root_is_named_or_called_server() {
        assert_eq!("gateway=12".parse(), Ok(Root { label: "gateway".into(), pid: 12 }));
        assert_eq!("12".parse(), Ok(Root { label: "server".into(), pid: 12 }));
        assert!("x".parse::<Root>().is_err());
    }
}
