//! Connections that another process of this machine has accepted and that are a load balancer's: they come as open
//! descriptors, one in a datagram, with what is known of them beside.
//!
//! Nothing has been read of them: who hands one over has only looked at what came in.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// What is known of a connection takes less.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// For the data path to have room for one more.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    pub client: SocketAddr,
    /// Of the load balancer that the client asks for.
    pub dns_name: String,
    /// Of its listener.
    pub port: u16,
}

/// Gives the connection to the data path that listens at `path`. The caller's own descriptor is closed by its drop.
///
/// # Errors
/// When nobody listens there, or has no room for it for a while.
pub async fn hand_over(path: &Path, stream: &impl AsFd, handed: &Handed) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    let text = serde_json::to_vec(handed)?;
    let descriptors = [stream.as_fd().as_raw_fd()];
    let send = || {
        let control = [ControlMessage::ScmRights(&descriptors)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&text)], &control, flags, None)?;
        Ok(())
    };
    timeout(HAND_OVER_LIMIT, socket.async_io(Interest::WRITABLE, send)).await.map_err(io::Error::from)?
}

/// The next connection. What is none is passed over.
///
/// # Errors
/// When the socket fails.
pub async fn next(socket: &UnixDatagram) -> io::Result<(TcpStream, Handed)> {
    loop {
        if let Some(handed) = socket.async_io(Interest::READABLE, || receive(socket)).await? {
            return Ok(handed);
        }
    }
}

fn receive(socket: &UnixDatagram) -> io::Result<Option<(TcpStream, Handed)>> {
    let mut text = [0; DATAGRAM_BYTES_MAX];
    let mut space = nix::cmsg_space!(OwnedFd);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let length = message.bytes;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
            descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let (Some(descriptor), Ok(handed)) = (descriptors.pop(), serde_json::from_slice(&text[..length])) else {
        return Ok(None);
    };
    let stream = TcpStream::from(descriptor);
    stream.set_nonblocking(true)?;
    Ok(Some((stream, handed)))
}
