//! Connections to targets, made from the load balancer's own address, so that a target's firewall can tell who comes; or
//! in the namespace of the task that calls.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};

use crate::limits::{CALL_CONNECT_LIMIT, CONNECT_LIMIT};
use crate::namespace::Namespace;

/// Where connections to targets come from.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// As the machine's routes have it.
    #[default]
    Machine,
    /// An address of this machine.
    Address(Ipv4Addr),
    Namespace(Namespace),
}

impl Source {
    /// How long a connection from there may take to be made, handshake included.
    pub const fn limit(&self) -> Duration {
        match self {
            Self::Machine | Self::Address(_) => CONNECT_LIMIT,
            Self::Namespace(_) => CALL_CONNECT_LIMIT,
        }
    }
}

pub async fn connect(target: SocketAddr, source: &Source) -> io::Result<TcpStream> {
    let stream = match source {
        Source::Address(source) if target.is_ipv4() => {
            let socket = TcpSocket::new_v4()?;
            // The port is chosen when it is known whereto: one port then serves for many targets.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(IpAddr::V4(*source), 0))?;
            socket.connect(target).await?
        }
        Source::Namespace(namespace) => namespace.socket().await?.connect(target).await?,
        Source::Machine | Source::Address(_) => TcpStream::connect(target).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}
