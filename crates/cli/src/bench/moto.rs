//! moto's server, which answers the same operations from Python: the peer of the API benches.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::process::{self, Daemon, POLL_INTERVAL};
use crate::client::Client;
use crate::failure::{Advice, Failure};

const START_LIMIT: Duration = Duration::from_secs(60);

pub struct Moto {
    daemon: Daemon,
    pub address: SocketAddr,
}

impl Moto {
    /// With the default cluster, which moto lacks at first.
    pub async fn start(program: &Path, directory: &Path) -> Result<Self, Failure> {
        let address = process::free_address()?;
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        let log = directory.join("moto.log");
        let daemon =
            Daemon::start(command, &log).advice("Install moto[server] with scripts/need bench, or say --moto.")?;
        let mut moto = Self { daemon, address };
        let started = Instant::now();
        while moto.client().call("CreateCluster", &json!({"clusterName": "default"})).await.is_err() {
            if moto.daemon.has_ended() || started.elapsed() > START_LIMIT {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new("moto's server did not start").because(text));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(moto)
    }

    pub fn client(&self) -> Client {
        Client::anonymous(self.address, "us-east-1")
    }
}
