//! Host ports of published containers. A published port is also held by a socket, so that no program of the host
//! takes it and none that has it is shut out.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, OwnedFd};

use model::{Port, Protocol};
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, shutdown, socket,
    sockopt,
};

/// When the kernel does not say (ecs-semantics §2.3).
const RANGE_DEFAULT: RangeInclusive<u16> = 49153..=65535;
const RANGE_FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Keeps a port while it lives. Nothing is ever received on it: packets are redirected before they come here.
#[derive(Debug)]
pub struct Lease {
    socket: OwnedFd,
}

impl Drop for Lease {
    /// A program that is just being started has a copy of the socket until it runs, which would keep the port taken.
    fn drop(&mut self) {
        // Those of UDP cannot, and say so.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

/// Takes the port on all addresses; an error of kind `AddrInUse` when a program or another container has it.
pub fn take(port: Port) -> io::Result<Lease> {
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port.number);
    let socket = match port.protocol {
        Protocol::Tcp => listen_on(address)?,
        Protocol::Udp => UdpSocket::bind(address)?.into(),
    };
    Ok(Lease { socket })
}

/// Listens, as only that keeps out programs which reuse addresses, and is itself not kept out by connections that
/// linger after their end.
fn listen_on(address: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    listen(&socket, Backlog::new(1)?)?;
    Ok(socket)
}

/// Takes a free port of the range, the first from `start` on that nobody has; `None` when all are taken.
pub fn take_any(protocol: Protocol, range: RangeInclusive<u16>, start: u16) -> Option<(Port, Lease)> {
    let (low, high) = (*range.start(), *range.end());
    let start = start.clamp(low, high);
    (start..=high).chain(low..start).find_map(|number| {
        let port = Port { number, protocol };
        Some((port, take(port).ok()?))
    })
}

/// The ports from which dynamic ones are chosen.
pub fn dynamic_range() -> RangeInclusive<u16> {
    fs::read_to_string(RANGE_FILE).ok().and_then(|text| parse_range(&text)).unwrap_or(RANGE_DEFAULT)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (low, high) = text.trim().split_once(char::is_whitespace)?;
    let range = low.parse().ok()?..=high.trim().parse().ok()?;
    (!range.is_empty() && *range.start() > 0).then_some(range)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_kernels_range_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_range("1024 1024"), Some(1024..=1024));
        for text in ["", "5", "9 8", "x y", "0 10", "1 70000"] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_is_had_once_and_free_again_afterwards() {
        let theirs = TcpListener::bind("0.0.0.0:0").unwrap();
        let number = theirs.local_addr().unwrap().port();
        let port = Port { number, protocol: Protocol::Tcp };
        assert_eq!(take(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(theirs);
        let ours = take(port).unwrap();
        assert_eq!(TcpListener::bind(("0.0.0.0", number)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(ours);
        TcpListener::bind(("0.0.0.0", number)).unwrap();
    }

    #[test]
    fn any_port_of_the_range_is_found_from_any_start() {
        let theirs = UdpSocket::bind("0.0.0.0:0").unwrap();
        let taken = theirs.local_addr().unwrap().port();
        assert!(take_any(Protocol::Udp, taken..=taken, 1).is_none());
        if let Some(next) = taken.checked_add(1) {
            // The next port may be another program's: then there is none, never the one that is taken.
            let found = take_any(Protocol::Udp, taken..=next, taken).map(|(port, _)| port.number);
            assert!(found.is_none_or(|number| number == next));
        }
    }
}
