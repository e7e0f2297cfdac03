//! What a running container uses, in the form of docker's stats: read from its control groups and from /proc.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use model::{MemoryMib, Timestamp};
use serde_json::{Map, Value, json};

use super::document::View;
use crate::runtime::cgroup::{Groups, Version};

/// Containers whose last sample is remembered.
const SAMPLES_MAX: usize = 4096;
/// The kernel's clock tick, as user space sees it.
const TICK_NANOS: u64 = 10_000_000;

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sample {
    at: Timestamp,
    cpu: Cpu,
    memory_usage: u64,
    memory_limit: Option<u64>,
    memory: Map<String, Value>,
    processes: u64,
    /// Device numbers, operation, bytes.
    blocks: Vec<(u64, u64, String, u64)>,
    networks: Vec<(String, [u64; 8])>,
}

/// Nanoseconds, but for the counts of periods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cpu {
    total: u64,
    user: u64,
    kernel: u64,
    system: u64,
    periods: u64,
    throttled_periods: u64,
    throttled: u64,
}

/// Reads samples, and remembers the last one of each container for the rates.
pub struct Samples {
    groups: Groups,
    last: Mutex<HashMap<String, Sample>>,
}

impl Samples {
    pub fn new(groups: Groups) -> Self {
        Self { groups, last: Mutex::default() }
    }

    /// `None` when the container has no control group, as when it does not run.
    pub fn read(&self, view: &View, index: usize, now: Timestamp) -> Option<Value> {
        let id = view.state.runtime_id(view.spec.id, index).to_string();
        let path = self.groups.container_path(view.spec.id, &id);
        let sample = match self.groups.version() {
            Version::V1 => read_v1(&self.groups, &path, now),
            Version::V2 => read_v2(&self.groups, &path, now),
        }?;
        let limit = view.spec.containers[index].definition.memory.or(view.spec.memory);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= SAMPLES_MAX {
            last.clear();
        }
        let before = last.insert(id.clone(), sample.clone());
        let name = &view.spec.containers[index].definition.name;
        Some(render(&id, name, limit, &sample, before.as_ref()))
    }
}

fn read_v1(groups: &Groups, path: &str, now: Timestamp) -> Option<Sample> {
    let (memory, cpuacct) = (groups.directory("memory", path), groups.directory("cpuacct", path));
    let usage = counters(&cpuacct.join("cpuacct.stat"));
    let throttling = counters(&groups.directory("cpu", path).join("cpu.stat"));
    let cpu = Cpu {
        total: number(&cpuacct.join("cpuacct.usage"))?,
        user: get(&usage, "user") * TICK_NANOS,
        kernel: get(&usage, "system") * TICK_NANOS,
        system: system_nanos(),
        periods: get(&throttling, "nr_periods"),
        throttled_periods: get(&throttling, "nr_throttled"),
        throttled: get(&throttling, "throttled_time"),
    };
    Some(Sample {
        at: now,
        cpu,
        memory_usage: number(&memory.join("memory.usage_in_bytes"))?,
        memory_limit: number(&memory.join("memory.limit_in_bytes")),
        memory: to_map(counters(&memory.join("memory.stat"))),
        processes: processes(groups, path),
        blocks: blocks_v1(&text(&groups.directory("blkio", path).join("blkio.throttle.io_service_bytes_recursive"))),
        networks: networks(&cpuacct),
    })
}

fn read_v2(groups: &Groups, path: &str, now: Timestamp) -> Option<Sample> {
    let group = groups.directory("", path);
    let usage = counters(&group.join("cpu.stat"));
    let cpu = Cpu {
        total: get(&usage, "usage_usec") * 1000,
        user: get(&usage, "user_usec") * 1000,
        kernel: get(&usage, "system_usec") * 1000,
        system: system_nanos(),
        periods: get(&usage, "nr_periods"),
        throttled_periods: get(&usage, "nr_throttled"),
        throttled: get(&usage, "throttled_usec") * 1000,
    };
    Some(Sample {
        at: now,
        cpu,
        memory_usage: number(&group.join("memory.current"))?,
        memory_limit: number(&group.join("memory.max")),
        memory: to_map(counters(&group.join("memory.stat"))),
        processes: processes(groups, path),
        blocks: blocks_v2(&text(&group.join("io.stat"))),
        networks: networks(&group),
    })
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn counters(path: &Path) -> Vec<(String, u64)> {
    let lines = text(path);
    let counters = lines.lines().filter_map(|line| line.split_once(' '));
    counters.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

fn get(counters: &[(String, u64)], name: &str) -> u64 {
    counters.iter().find(|(other, _)| other == name).map_or(0, |(_, value)| *value)
}

fn to_map(counters: Vec<(String, u64)>) -> Map<String, Value> {
    counters.into_iter().map(|(name, value)| (name, json!(value))).collect()
}

fn processes(groups: &Groups, path: &str) -> u64 {
    number(&groups.directory("pids", path).join("pids.current")).unwrap_or(0)
}

/// Time that all processors have spent, idle or not.
fn system_nanos() -> u64 {
    let stat = text(Path::new("/proc/stat"));
    let first = stat.lines().next().unwrap_or_default();
    first.split_whitespace().skip(1).take(7).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() * TICK_NANOS
}

/// `8:0 Read 4096` per line, and a total.
fn blocks_v1(text: &str) -> Vec<(u64, u64, String, u64)> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let entries = lines.filter_map(|words| match words[..] {
        [device, operation, bytes] => {
            let (major, minor) = device.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?, operation.to_ascii_lowercase(), bytes.parse().ok()?))
        }
        _ => None,
    });
    entries.collect()
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 …` per line.
fn blocks_v2(text: &str) -> Vec<(u64, u64, String, u64)> {
    let mut blocks = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|word| word.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(major, minor)| (major.parse(), minor.parse())) else {
            continue;
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let operation = match name {
                "rbytes" => "read",
                "wbytes" => "write",
                _ => continue,
            };
            blocks.extend(value.parse().ok().map(|bytes| (major, minor, operation.to_owned(), bytes)));
        }
    }
    blocks
}

/// The interfaces that the group's first process sees, without loopback.
fn networks(group: &Path) -> Vec<(String, [u64; 8])> {
    let processes = text(&group.join("cgroup.procs"));
    let Some(process) = processes.lines().next() else { return Vec::new() };
    parse_networks(&text(&Path::new("/proc").join(process).join("net/dev")))
}

/// Bytes, packets, errors and drops received, then sent.
fn parse_networks(text: &str) -> Vec<(String, [u64; 8])> {
    let mut networks = Vec::new();
    for (name, counts) in text.lines().filter_map(|line| line.split_once(':')) {
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let &[rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
            &counts[..]
        else {
            continue;
        };
        if name.trim() != "lo" {
            let received = [rx_bytes, rx_packets, rx_errors, rx_dropped];
            let sent = [tx_bytes, tx_packets, tx_errors, tx_dropped];
            networks.push((name.trim().to_owned(), [received, sent].concat().try_into().expect("eight")));
        }
    }
    networks
}

fn render(id: &str, name: &str, limit: Option<MemoryMib>, sample: &Sample, before: Option<&Sample>) -> Value {
    let empty = Sample::default();
    let previous = before.unwrap_or(&empty);
    let mut document = json!({
        "id": id,
        "name": name,
        "read": sample.at.to_string(),
        "preread": before.map_or("0001-01-01T00:00:00Z".to_owned(), |before| before.at.to_string()),
        "num_procs": 0,
        "pids_stats": {"current": sample.processes},
        "blkio_stats": {"io_service_bytes_recursive": render_blocks(sample)},
        "storage_stats": {},
        "cpu_stats": render_cpu(&sample.cpu),
        "precpu_stats": render_cpu(&previous.cpu),
        "memory_stats": {
            "usage": sample.memory_usage,
            "limit": limit.map(MemoryMib::bytes).or(sample.memory_limit).unwrap_or(0),
            "stats": sample.memory,
        },
    });
    if !sample.networks.is_empty() {
        document["networks"] = render_networks(sample);
        document["network_rate_stats"] = render_rates(sample, before);
    }
    document
}

fn render_cpu(cpu: &Cpu) -> Value {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    json!({
        "cpu_usage": {
            "total_usage": cpu.total, "usage_in_kernelmode": cpu.kernel, "usage_in_usermode": cpu.user,
        },
        "system_cpu_usage": cpu.system,
        "online_cpus": processors,
        "throttling_data": {
            "periods": cpu.periods, "throttled_periods": cpu.throttled_periods, "throttled_time": cpu.throttled,
        },
    })
}

fn render_blocks(sample: &Sample) -> Value {
    let entries = sample.blocks.iter();
    entries.map(|(major, minor, op, value)| json!({"major": major, "minor": minor, "op": op, "value": value})).collect()
}

fn render_networks(sample: &Sample) -> Value {
    let networks = sample.networks.iter().map(|(name, counts)| {
        let [rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped] = counts;
        let counts = json!({
            "rx_bytes": rx_bytes, "rx_packets": rx_packets, "rx_errors": rx_errors, "rx_dropped": rx_dropped,
            "tx_bytes": tx_bytes, "tx_packets": tx_packets, "tx_errors": tx_errors, "tx_dropped": tx_dropped,
        });
        (name.clone(), counts)
    });
    Value::Object(networks.collect())
}

/// Bytes per second since the sample before; null for the first.
fn render_rates(sample: &Sample, before: Option<&Sample>) -> Value {
    let Some(before) = before.filter(|before| before.at < sample.at) else { return Value::Null };
    let seconds = sample.at.since(before.at).as_secs_f64();
    let sum = |sample: &Sample, at: usize| sample.networks.iter().map(|(_, counts)| counts[at]).sum::<u64>();
    let rate = |at: usize| sum(sample, at).saturating_sub(sum(before, at)) as f64 / seconds;
    json!({"rx_bytes_per_sec": rate(0), "tx_bytes_per_sec": rate(4)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_without_loopback() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n  \
            eth0:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0\n";
        assert_eq!(parse_networks(text), [("eth0".to_owned(), [1000, 10, 1, 2, 2000, 20, 3, 4])]);
    }

    #[test]
    fn block_counters_of_both_versions_are_read() {
        let read = (8, 0, "read".to_owned(), 4096);
        let write = (8, 0, "write".to_owned(), 512);
        assert_eq!(blocks_v1("8:0 Read 4096\n8:0 Write 512\nTotal 4608\n"), [read.clone(), write.clone()]);
        assert_eq!(blocks_v2("8:0 rbytes=4096 wbytes=512 rios=1 wios=1\n\n253:0\n"), [read, write]);
    }

    #[test]
    fn the_sample_before_gives_the_rates() {
        let sample = |at: i64, bytes: u64| Sample {
            at: Timestamp(at),
            cpu: Cpu { total: bytes, ..Cpu::default() },
            networks: vec![("eth0".into(), [bytes, 0, 0, 0, 2 * bytes, 0, 0, 0])],
            ..Sample::default()
        };
        let first = render("id", "web", Some(MemoryMib(2)), &sample(1000, 500), None);
        assert_eq!(first["network_rate_stats"], Value::Null);
        assert_eq!(first["memory_stats"]["limit"], 2 << 20);
        let second = render("id", "web", None, &sample(3000, 2500), Some(&sample(1000, 500)));
        assert_eq!(second["network_rate_stats"], json!({"rx_bytes_per_sec": 1000.0, "tx_bytes_per_sec": 2000.0}));
        assert_eq!(second["precpu_stats"]["cpu_usage"]["total_usage"], 500);
        assert_eq!(second["preread"], "1970-01-01T00:00:01.000Z");
    }
}
