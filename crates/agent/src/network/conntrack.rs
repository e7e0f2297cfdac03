//! Makes the kernel forget flows of datagrams. It follows a flow by its addresses as long as packets come, whatever the
//! rules say meanwhile: a client that keeps sending would never reach the container that took over a published port.

use std::io;
use std::time::Duration;

use model::{Port, Protocol};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

const REPLY_LIMIT: Duration = Duration::from_secs(5);

// From linux/netlink.h, linux/netfilter/nfnetlink_conntrack.h.
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const NLMSG_ERROR: u16 = 2;
/// IPCTNL_MSG_CT_DELETE of NFNL_SUBSYS_CTNETLINK.
const CONNTRACK_DELETE: u16 = (1 << 8) | 2;
const NESTED: u16 = 1 << 15;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// What of the tuple has to match: the protocol's number and the destination port.
const FILTER_PROTOCOL_AND_PORT: u32 = (1 << 3) | (1 << 5);

/// Forgets the flows that were first sent to this port, in the calling thread's namespace. Streams are left alone:
/// they end by themselves.
///
/// # Errors
/// Also when the kernel cannot choose by port (before 5.8).
pub fn forget(port: Port) -> io::Result<()> {
    if port.protocol == Protocol::Tcp {
        return Ok(());
    }
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(REPLY_LIMIT.as_secs() as i64, 0))?;
    socket.send(&request(port.number), 0)?;
    let (reply, _) = socket.recv_from_full()?;
    match acknowledged(&reply) {
        // Nothing to forget.
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => Ok(()),
        other => other,
    }
}

fn request(port: u16) -> Vec<u8> {
    let protocol = attribute(CTA_PROTO_NUM, &[nix::libc::IPPROTO_UDP as u8]);
    let destination = attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes());
    let tuple = attribute(NESTED | CTA_TUPLE_PROTO, &[protocol, destination].concat());
    let flags = attribute(CTA_FILTER_ORIG_FLAGS, &FILTER_PROTOCOL_AND_PORT.to_ne_bytes());
    // nfgenmsg: family, version, resource.
    let family = [nix::libc::AF_INET as u8, 0, 0, 0];
    let body =
        [&family[..], &attribute(NESTED | CTA_TUPLE_ORIG, &tuple), &attribute(NESTED | CTA_FILTER, &flags)].concat();
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(CONNTRACK_DELETE.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    // Sequence and sender: there is one request, and the kernel fills in the other.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Length, kind, value, and filling up to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + value.len().next_multiple_of(4));
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn acknowledged(reply: &[u8]) -> io::Result<()> {
    let (Some(kind), Some(code)) = (reply.get(4..6), reply.get(16..20)) else {
        return Err(io::Error::other("the kernel's answer is cut short"));
    };
    if kind != NLMSG_ERROR.to_ne_bytes() {
        return Err(io::Error::other("the kernel's answer is not understood"));
    }
    match i32::from_ne_bytes(code.try_into().expect("four bytes")) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}
