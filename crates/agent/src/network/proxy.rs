//! What a task's namespace sends to the virtual network of Service Connect goes to the data path's socket in the same
//! namespace, whichever port it was for. An address of its own for each of them would not do: a container that listens
//! on all addresses could not have a port that somebody else's endpoint has.
//!
//! Invariant: it holds before anything runs in the namespace. Without the data path a call is refused; it never comes to
//! one of the task's own ports.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use model::service_connect::{PROXY_ADDRESS, VIRTUAL_NETWORK, VIRTUAL_PREFIX_LENGTH};

use super::{Error, Result, kernel, namespace};

/// Replaces what an earlier call made. Changes the calling thread's namespace.
pub fn redirect(path: &Path, port: u16) -> Result<()> {
    namespace::enter(path).map_err(kernel("enter a network namespace"))?;
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let run = || {
        let mut child = nft.spawn()?;
        child.stdin.take().expect("piped").write_all(table(port).as_bytes())?;
        child.wait_with_output()
    };
    let output = { run }().map_err(|error| Error::Nft(format!("cannot run nft: {error}")))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn table(port: u16) -> String {
    format!(
        "table ip service_connect\n\
         delete table ip service_connect\n\
         table ip service_connect {{\n\
         chain output {{\n\
         type nat hook output priority -100\n\
         ip daddr {VIRTUAL_NETWORK}/{VIRTUAL_PREFIX_LENGTH} meta l4proto tcp dnat to {PROXY_ADDRESS}:{port}\n\
         }}\n\
         }}\n"
    )
}
