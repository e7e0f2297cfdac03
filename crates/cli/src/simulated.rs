//! `gantry up --simulated-nodes`: agents of this process whose containers and network are simulated. They reach the
//! control plane by pipes, so that their number is not bound by the sockets that a process may hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::checkpoint::Checkpoints;
use agent::clock::Clock;
use agent::link::{Dial, DialError};
use agent::simulated::{Behaviour, World};
use control::{Control, session};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::io::{DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;

use crate::failure::Failure;
use crate::home::Home;
use crate::{identity, up};

/// Nodes that connect at the same time.
const CONNECTING_MAX: usize = 64;
/// A machine of 64 processors and 256 GiB.
const CPU: model::CpuUnits = model::CpuUnits(64 * 1024);
const MEMORY: model::MemoryMib = model::MemoryMib(256 * 1024);
/// What a pipe holds of what the other end has not read.
const PIPE_BYTES: usize = 16 << 10;

/// So many nodes, each with its session.
pub async fn start(home: &Home, count: u32, control: &Arc<Control>) -> Result<Vec<agent::Agent>, Failure> {
    let first = identity::node_id(home)?;
    let start = |number| {
        let config = agent::Config {
            data: agent::Data::Simulated(Checkpoints::None),
            // The ids stay, so that a restart finds the same nodes.
            node: model::NodeId(first.0.wrapping_add(u128::from(number))),
            host: agent::host::Host::simulated(&format!("simulated-{number}"), CPU, MEMORY),
            clock: Clock::System,
            endpoint: None,
        };
        let world = World::new(Clock::System, Behaviour::default(), BTreeMap::new());
        up::connect(config, Pipe { control: control.clone() }, world.clone(), world)
    };
    stream::iter(0..count).map(start).buffered(CONNECTING_MAX).try_collect().await
}

struct Pipe {
    control: Arc<Control>,
}

impl Dial for Pipe {
    type Stream = DuplexStream;

    async fn dial(&self) -> Result<WebSocketStream<DuplexStream>, DialError> {
        let (agent_end, control_end) = duplex(PIPE_BYTES);
        let control = self.control.clone();
        tokio::spawn(async move { session::run(control, session::over(control_end).await).await });
        Ok(agent::link::over(agent_end).await)
    }
}
