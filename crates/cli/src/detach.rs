//! `gantry up --detach`: starts this program again in a session of its own and waits until that one is ready.
//!
//! The child's standard output is a pipe to the parent. It writes one line of JSON, what runs or why not, and closes it;
//! its log is `gantry.log` in the data directory.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::failure::{Context, Failure};
use crate::home::{Home, Running};

/// Set for the child only.
pub const CHILD_VARIABLE: &str = "GANTRY_DETACHED";

#[derive(Serialize, Deserialize)]
enum Outcome {
    Ready(Running),
    Failed(String),
}

/// Returns what runs, whether it was started now or ran before.
pub fn start(home: &Home) -> Result<Running, Failure> {
    if let Some(running) = home.running()? {
        return Ok(running);
    }
    home.create()?;
    let log_path = home.path("gantry.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path)
        .context(|| format!("{} could not be opened", log_path.display()))?;
    let program = std::env::current_exe().context(|| "this program's path is unknown".to_owned())?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1).filter(|argument| argument != "--detach"))
        .env(CHILD_VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context(|| "gantry could not be started".to_owned())?;
    let pipe = child.stdout.take().expect("it was asked for");
    let mut line = String::new();
    BufReader::new(pipe).read_line(&mut line).context(|| "the started gantry said nothing".to_owned())?;
    match serde_json::from_str(&line) {
        Ok(Outcome::Ready(running)) => Ok(running),
        Ok(Outcome::Failed(text)) => Err(Failure::new(text)),
        Err(_) => Err(Failure::new("gantry ended while it started").advise(format!("See {}.", log_path.display()))),
    }
}

pub fn is_child() -> bool {
    std::env::var_os(CHILD_VARIABLE).is_some()
}

/// In the child, before anything else: leaves the parent's session, so that closing a terminal does not end it.
pub fn leave_session() {
    // Fails only for a process that leads its group already, which has nothing to leave.
    let _ = nix::unistd::setsid();
}

pub fn say_ready(running: &Running) {
    say(&Outcome::Ready(running.clone()));
}

pub fn say_failed(failure: &Failure) {
    say(&Outcome::Failed(failure.to_string()));
}

/// One line, then the end of the pipe: nothing may be printed to it afterwards.
fn say(outcome: &Outcome) {
    let line = serde_json::to_string(outcome).expect("plain data");
    let mut pipe = std::io::stdout();
    let _ = writeln!(pipe, "{line}").and_then(|()| pipe.flush());
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(null);
    }
}
