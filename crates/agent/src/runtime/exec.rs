//! Commands in running containers, for health checks.
//!
//! Output comes through a pipe that the shim opens by its name in our /proc, so that nothing is left on disk even when
//! the agent is killed; only the end of it is kept.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use super::Containerd;
use super::api::containerd::services::tasks::v1::{
    DeleteProcessRequest, ExecProcessRequest, KillRequest, StartRequest, WaitRequest,
};
use super::client::{Failure, PROCESS_LIMIT, Result};
use crate::driver::{DriverError, ExecResult};

const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// Of output, the last bytes.
const OUTPUT_LIMIT: usize = 4096;
/// Time for the rest of the output once the command has ended: a process that it left behind may hold the pipe.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const SIGKILL: u32 = 9;
/// As a shell says it: the command was not found, or cannot be run.
const CANNOT_RUN: i32 = 126;
const CANNOT_EXEC: &str = "CannotInspectContainerError";

impl Containerd {
    pub(super) async fn exec_in_container(
        &self,
        id: &str,
        command: &[String],
        limit: Duration,
    ) -> crate::driver::Result<ExecResult> {
        let failed = |failure: Failure| DriverError::new(CANNOT_EXEC, failure);
        let spec = self.exec_spec(id, command).await.map_err(failed)?;
        let exec_id = format!("exec-{}", super::unique());
        let (reader, writer) = pipe().map_err(|error| failed(Failure::io("a pipe", error)))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), writer.as_raw_fd());
        let request = ExecProcessRequest {
            container_id: id.to_owned(),
            stdout: path.clone(),
            stderr: path,
            spec: Some(spec),
            exec_id: exec_id.clone(),
            ..ExecProcessRequest::default()
        };
        let client = self.client();
        client.call("tasks.Exec", PROCESS_LIMIT, client.tasks().exec(request)).await.map_err(failed)?;
        let run = Run { runtime: self, id, exec_id: &exec_id };
        let reading = tokio::spawn(read_end(reader));
        let result = run.run(limit, writer).await;
        let deleted = run.delete().await;
        let exit = result.map_err(failed)?;
        deleted.map_err(failed)?;
        let output = match tokio::time::timeout(DRAIN_LIMIT, reading).await {
            Ok(Ok(output)) => String::from_utf8_lossy(&output).into_owned(),
            _ => String::new(),
        };
        Ok(match exit {
            Ended::Exited(exit_code) => ExecResult { exit_code: Some(exit_code), output },
            Ended::Late => ExecResult { exit_code: None, output },
            Ended::NotStarted(reason) => ExecResult { exit_code: Some(CANNOT_RUN), output: reason },
        })
    }

    /// The container's own process with another command: its user, environment, directory and limits.
    async fn exec_spec(&self, id: &str, command: &[String]) -> Result<prost_types::Any> {
        let record = self.get_record(id).await?;
        let odd = |what: &dyn std::fmt::Display| Failure::Invalid(format!("the specification of {id}: {what}"));
        let bytes = record.spec.map(|spec| spec.value).unwrap_or_default();
        let mut spec: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| odd(&error))?;
        let mut process = spec.get_mut("process").map(serde_json::Value::take).ok_or_else(|| odd(&"no process"))?;
        process["args"] = command.into();
        process["terminal"] = false.into();
        let value = serde_json::to_vec(&process).expect("JSON");
        Ok(prost_types::Any { type_url: PROCESS_TYPE.to_owned(), value })
    }
}

enum Ended {
    Exited(i32),
    Late,
    NotStarted(String),
}

struct Run<'a> {
    runtime: &'a Containerd,
    id: &'a str,
    exec_id: &'a str,
}

impl Run<'_> {
    async fn run(&self, limit: Duration, writer: OwnedFd) -> Result<Ended> {
        let client = self.runtime.client();
        let request = StartRequest { container_id: self.id.to_owned(), exec_id: self.exec_id.to_owned() };
        let started = client.call("tasks.Start", PROCESS_LIMIT, client.tasks().start(request)).await;
        // The shim has its own ends now; ours would keep the reader waiting for ever.
        drop(writer);
        match started {
            Ok(_) => {}
            Err(Failure::Refused { status, .. }) => return Ok(Ended::NotStarted(status.message().to_owned())),
            Err(failure) => return Err(failure),
        }
        match tokio::time::timeout(limit, self.wait()).await {
            Ok(code) => Ok(Ended::Exited(code?)),
            Err(_) => {
                self.kill().await?;
                self.wait().await?;
                Ok(Ended::Late)
            }
        }
    }

    async fn wait(&self) -> Result<i32> {
        let client = self.runtime.client();
        let request = WaitRequest { container_id: self.id.to_owned(), exec_id: self.exec_id.to_owned() };
        let answer = client.call("tasks.Wait", PROCESS_LIMIT, client.tasks().wait(request)).await?;
        Ok(i32::try_from(answer.exit_status).unwrap_or(i32::MAX))
    }

    async fn kill(&self) -> Result<()> {
        let client = self.runtime.client();
        let (container_id, exec_id) = (self.id.to_owned(), self.exec_id.to_owned());
        let request = KillRequest { container_id, exec_id, signal: SIGKILL, all: false };
        match client.call("tasks.Kill", PROCESS_LIMIT, client.tasks().kill(request)).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    async fn delete(&self) -> Result<()> {
        let client = self.runtime.client();
        let request = DeleteProcessRequest { container_id: self.id.to_owned(), exec_id: self.exec_id.to_owned() };
        match client.call("tasks.DeleteProcess", PROCESS_LIMIT, client.tasks().delete_process(request)).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }
}

fn pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((Receiver::from_owned_fd(reader)?, writer))
}

/// Reads to the end and keeps the last of it.
async fn read_end(mut reader: Receiver) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 2 * OUTPUT_LIMIT];
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..length]);
        let surplus = kept.len().saturating_sub(OUTPUT_LIMIT);
        kept.drain(..surplus);
    }
    kept
}
