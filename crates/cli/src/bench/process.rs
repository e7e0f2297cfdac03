//! Processes that a bench starts: found in PATH, their output in a file, ended when dropped.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::failure::{Context, Failure};

const END_LIMIT: Duration = Duration::from_secs(20);
/// For what tells of its readiness by answering only.
pub const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A daemon. Dropping it ends it.
pub struct Daemon(Child);

impl From<Child> for Daemon {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Daemon {
    /// Standard output and error go to `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self, Failure> {
        let what = || format!("{} could not be started", command_name(&command));
        let what = what();
        let file = File::create(log).context(|| what.clone())?;
        let copy = file.try_clone().context(|| what.clone())?;
        command.process_group(0);
        let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn().context(|| what)?;
        Ok(Self(child))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// It has no time for anything any more.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// What it ended with, when it has.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// SIGTERM, and SIGKILL when that does not help.
pub fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
    let deadline = Instant::now() + END_LIMIT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Runs a command to its end; its standard output.
pub async fn output(command: Command) -> Result<String, Failure> {
    let name = command_name(&command);
    let done = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .output()
        .await
        .context(|| format!("{name} could not be started"))?;
    if !done.status.success() {
        let text = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(Failure::new(format!("{name} failed ({})", done.status)).because(text));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn command_name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// For what cannot be asked which port it took: one that was free a moment ago.
pub fn free_address() -> Result<SocketAddr, Failure> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.context(|| "no port is free".to_owned())
}

/// Resident memory of a process, MiB.
pub fn resident_mib(pid: u32) -> Result<f64, Failure> {
    status_mib(pid, "VmRSS:")
}

/// The most that it ever was.
pub fn peak_resident_mib(pid: u32) -> Result<f64, Failure> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, field: &str) -> Result<f64, Failure> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(|| format!("{path} could not be read"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: f64| kib / 1024.0).ok_or_else(|| Failure::new(format!("{path} has no {field}")))
}

/// What its threads had of the processors so far.
pub fn processor_time(pid: u32) -> Result<Duration, Failure> {
    processor_time_at(Path::new(&format!("/proc/{pid}/stat")))
}

/// As a `stat` of a process or of one of its threads says.
pub fn processor_time_at(stat: &Path) -> Result<Duration, Failure> {
    let path = stat.display();
    let text = std::fs::read_to_string(stat).context(|| format!("{path} could not be read"))?;
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it.
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    let ticks = fields.into_iter().flatten().map(str::parse::<u64>).sum::<Result<u64, _>>();
    let ticks = ticks.context(|| format!("{path} has no times"))?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}
