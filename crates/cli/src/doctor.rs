//! `gantry doctor`: what this machine lacks, in plain words.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::network::{Error, trial};
use serde::Serialize;

use crate::args::Output;
use crate::home::Home;
use crate::{network, output};

/// Below this, image pulls and logs soon fail.
const DISK_BYTES_MIN: u64 = 2 << 30;

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    /// What was found, or what to do.
    detail: String,
}

pub fn run(home: &Home, output: Output) -> ExitCode {
    let findings = [
        root(),
        program("containerd", "runs containers", "apt-get install containerd"),
        program("runc", "starts containers for containerd", "apt-get install runc"),
        program("nft", "writes NAT rules for tasks", "apt-get install nftables"),
        cgroups(),
        overlayfs(),
        network(home),
        certificates(),
        disk(home),
    ];
    let all_ok = findings.iter().all(|finding| finding.ok);
    output::print(output, &findings, || render(&findings, all_ok));
    if all_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn render(findings: &[Finding], all_ok: bool) -> String {
    let rows = findings.iter().map(|finding| {
        let mark = if finding.ok { output::green("ok") } else { output::red("missing") };
        vec![mark, finding.what.to_owned(), finding.detail.clone()]
    });
    let verdict = if all_ok { "This machine can run gantry." } else { "This machine cannot run gantry yet." };
    format!("{}\n\n{verdict}", output::table(&["", "WHAT", "DETAIL"], rows))
}

fn finding(what: &'static str, result: Result<String, String>) -> Finding {
    let ok = result.is_ok();
    Finding { what, ok, detail: result.unwrap_or_else(|advice| advice) }
}

fn root() -> Finding {
    let result = match nix::unistd::geteuid().is_root() {
        true => Ok("running as root".to_owned()),
        false => Err("containers and networks need root: run with sudo".to_owned()),
    };
    finding("root", result)
}

fn program(name: &'static str, purpose: &str, advice: &str) -> Finding {
    let result = match find_program(name) {
        Some(path) => Ok(path.display().to_string()),
        None => Err(format!("{name} {purpose}: {advice}")),
    };
    finding(name, result)
}

/// In PATH and in the system directories, which a plain user's PATH lacks on Debian.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|directory| directory.join(name)).find(|file| file.is_file())
}

fn cgroups() -> Finding {
    let version_2 = Path::new("/sys/fs/cgroup/cgroup.controllers");
    let result = if version_2.exists() {
        let controllers = std::fs::read_to_string(version_2).unwrap_or_default();
        let lacking: Vec<&str> = ["cpu", "memory", "pids"]
            .into_iter()
            .filter(|name| !controllers.split(' ').any(|c| c.trim() == *name))
            .collect();
        match lacking.as_slice() {
            [] => Ok("version 2".to_owned()),
            _ => Err(format!(
                "the controllers {} are off: see cgroup_enable= of the kernel's command line",
                lacking.join(", ")
            )),
        }
    } else if ["cpu", "memory"].iter().all(|name| Path::new("/sys/fs/cgroup").join(name).is_dir()) {
        Ok("version 1".to_owned())
    } else {
        Err("no cgroups are mounted under /sys/fs/cgroup".to_owned())
    };
    finding("cgroups", result)
}

fn overlayfs() -> Finding {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let result = match known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        true => Ok("the kernel has it".to_owned()),
        false => Err("the kernel has no overlay file system: modprobe overlay".to_owned()),
    };
    finding("overlayfs", result)
}

/// Made for a trial: modules that are missing and ranges that are taken show only then.
fn network(home: &Home) -> Finding {
    if !nix::unistd::geteuid().is_root() {
        return finding("network", Err("only root can try it: run with sudo".to_owned()));
    }
    let config = network::config(home, "trial", None);
    let ranges = config.ranges().map(|range| range.to_string()).collect::<Vec<_>>().join(", ");
    let result = match trial::run(config) {
        Ok(()) => Ok(format!("namespaces, bridges, links and NAT work; tasks can have {ranges}")),
        Err(error @ (Error::Kernel { .. } | Error::Nft(_))) => {
            Err(format!("{error}: the kernel needs namespaces, bridge, veth, nf_tables and nft_nat"))
        }
        Err(error) => Err(error.to_string()),
    };
    finding("network", result)
}

fn certificates() -> Finding {
    let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let result = match bundle.exists() {
        true => Ok(bundle.display().to_string()),
        false => Err("pulls over TLS need them: apt-get install ca-certificates".to_owned()),
    };
    finding("CA certificates", result)
}

fn disk(home: &Home) -> Finding {
    let mut directory = home.directory().to_owned();
    while !directory.exists() && directory.pop() {}
    let result = match nix::sys::statvfs::statvfs(&directory) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            let text = format!("{:.1} GiB free in {}", free as f64 / f64::from(1 << 30), directory.display());
            if free >= DISK_BYTES_MIN {
                Ok(text)
            } else {
                Err(format!("{text}: make room, or choose another --data-dir"))
            }
        }
        Err(error) => Err(format!("{}: {error}", directory.display())),
    };
    finding("disk", result)
}
