//! What `/proc` says of a server: CPU time and memory of its processes and their descendants.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// CPU time and memory of a set of processes at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Processes found alive.
    pub processes: u32,
    /// User and system time since their start, in milliseconds.
    pub cpu_ms: f64,
    /// Resident memory in KiB.
    pub rss_kib: u64,
    /// Proportional set size in KiB.
    pub pss_kib: u64,
}

/// A set of processes to watch, by the ids of their roots.
#[derive(Debug, Clone)]
pub struct Watch(Vec<u32>);

impl Watch {
    /// Watches `roots` and all their descendants; the error names an id that does not exist.
    pub fn new(roots: &[u32]) -> Result<Self, String> {
        for pid in roots {
            read_stat(*pid).ok_or_else(|| format!("--server-pid {pid}: no such process"))?;
        }
        Ok(Self(roots.to_vec()))
    }

    /// The sum over all of them now.
    pub fn sample(&self) -> Sample {
        let tick_ms = 1000.0 / rustix::param::clock_ticks_per_second() as f64;
        let mut sample = Sample::default();
        for pid in self.family() {
            let Some(stat) = read_stat(pid) else { continue };
            sample.processes += 1;
            sample.cpu_ms += stat.ticks as f64 * tick_ms;
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            let rollup = rollup.unwrap_or_default();
            sample.rss_kib += kib(&rollup, "Rss:");
            sample.pss_kib += kib(&rollup, "Pss:");
        }
        sample
    }

    /// The roots and whoever descends from them; a supervisor's planes are found by that.
    fn family(&self) -> BTreeSet<u32> {
        let mut parents = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, read_stat(pid)?))) {
                parents.push((pid, stat.parent));
            }
        }
        let mut family: BTreeSet<u32> = self.0.iter().copied().collect();
        loop {
            let before = family.len();
            for (pid, parent) in &parents {
                if family.contains(parent) {
                    family.insert(*pid);
                }
            }
            if family.len() == before {
                return family;
            }
        }
    }
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// `/proc/PID/stat`, proc_pid_stat(5): fields 4 (ppid), 14 (utime) and 15 (stime).
fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The command name may hold spaces and parentheses; what follows the last one is regular.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let mut times = fields.skip(9).map_while(|f| f.parse::<u64>().ok());
    Some(Stat { parent, ticks: times.next()? + times.next()? })
}

fn kib(rollup: &str, key: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// CPU time of the calling process, in milliseconds.
pub fn own_cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1000.0 + time.tv_nsec as f64 / 1e6
}

/// CPU time of the whole machine, in clock ticks: all but idle, stolen, and all together
/// (`/proc/stat`, first line).
pub fn machine_ticks() -> [u64; 3] {
    machine(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn machine(stat: &str) -> [u64; 3] {
    // user nice system idle iowait irq softirq steal; guest time is within user already.
    let fields = stat.split_ascii_whitespace().skip(1).take(8);
    let ticks: Vec<u64> = fields.map_while(|f| f.parse().ok()).collect();
    let all = ticks.iter().sum();
    let at = |i: usize| ticks.get(i).copied().unwrap_or(0);
    [all - at(3) - at(4) - at(7), at(7), all]
}

/// Datagrams that the kernel dropped at UDP sockets bound to `ports` for want of room, which is
/// the receiver's failing and no loss of the server's (`/proc/net/udp`, last column).
pub fn udp_drops(ports: &BTreeSet<u16>) -> u64 {
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|table| sum_drops(&table, ports))
        .sum()
}

fn sum_drops(table: &str, ports: &BTreeSet<u16>) -> u64 {
    let drops = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let port = u16::from_str_radix(fields.nth(1)?.rsplit_once(':')?.1, 16).ok()?;
        ports.contains(&port).then(|| fields.last()?.parse::<u64>().ok())?
    });
    drops.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_awkward_name() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 0 0 0 120 30 0 0 20 0 1 0 5 6 7\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 150));
    }

    #[test]
    fn we_are_alive_and_have_memory() {
        let sample = Watch::new(&[std::process::id()]).unwrap().sample();
        assert!(sample.processes >= 1 && sample.rss_kib > 0 && sample.pss_kib > 0, "{sample:?}");
        assert!(Watch::new(&[u32::MAX]).is_err());
        assert!(own_cpu_ms() > 0.0);
    }

    #[test]
    fn the_machine() {
        let stat = "cpu  10 20 30 400 5 1 2 7 0 0\ncpu0 1 1 1 1\n";
        assert_eq!(machine(stat), [63, 7, 475]);
        assert_eq!(machine(""), [0; 3]);
    }

    #[test]
    fn drops_of_our_ports_only() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue drops\n\
             1: 0100007F:1388 00000000:0000 07 00000000:00000000 00:00000000 0 0 0 12 2 0 7\n\
             2: 0100007F:1389 00000000:0000 07 00000000:00000000 00:00000000 0 0 0 12 2 0 9\n";
        assert_eq!(sum_drops(table, &BTreeSet::from([5000])), 7);
    }
}
