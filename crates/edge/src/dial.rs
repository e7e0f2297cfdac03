//! Connections to targets, made from the load balancer's own address, so that a target's firewall can tell who comes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};

/// `source` is on this machine; without one, the machine's routes decide.
pub async fn connect(target: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let stream = match source.filter(|_| target.is_ipv4()) {
        Some(source) => {
            let socket = TcpSocket::new_v4()?;
            // The port is chosen when it is known whereto: one port then serves for many targets.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
            socket.connect(target).await?
        }
        None => TcpStream::connect(target).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}
