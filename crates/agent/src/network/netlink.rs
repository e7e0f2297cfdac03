//! A blocking rtnetlink socket and the few requests that the node needs. It stays in the network namespace in which
//! it was opened, whatever its thread does later.
//!
//! Every wait is bounded, by [`REPLY_LIMIT`] or [`LINK_LIMIT`]. The netlink crates' types end here.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    BridgePortState, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// How long the kernel may take over one reply. It answers in microseconds unless the machine is drowning.
const REPLY_LIMIT: Duration = Duration::from_secs(5);
/// How long a link may take from being brought up until it carries. The kernel has one worker for all links of the
/// machine, which waits for everybody who changes one.
const LINK_LIMIT: Duration = Duration::from_secs(20);
/// The kernel's group of those who are told of links (RTNLGRP_LINK).
const LINK_CHANGES: u32 = 1;
/// The loopback interface's index, in every namespace.
pub const LOOPBACK: u32 = 1;

pub type Mac = [u8; 6];

/// What is known of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mtu: u32,
    /// Index of the bridge that it is a port of.
    pub bridge: Option<u32>,
    pub alias: Option<String>,
    /// The kernel passes what is sent by it; `None`: the kernel does not say. It is `false` for a while after both ends
    /// of a pair were brought up.
    pub carries: Option<bool>,
    /// As the port of a bridge: it is part of the network. What comes by another port is dropped.
    pub forwards: bool,
}

/// A pair of links: one end here, the other in the namespace of `peer_namespace`.
#[derive(Debug)]
pub struct VethPair<'a> {
    pub name: &'a str,
    pub mac: Mac,
    pub peer_name: &'a str,
    pub peer_mac: Mac,
    pub peer_namespace: BorrowedFd<'a>,
    pub mtu: u32,
}

/// Tells that links change. It stays in the namespace in which it was opened.
#[derive(Debug)]
pub struct LinkChanges {
    socket: Socket,
}

impl LinkChanges {
    /// In the calling thread's network namespace. Nothing is heard before somebody waits.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        Ok(Self { socket })
    }

    fn listen(&self) -> io::Result<()> {
        self.socket.add_membership(LINK_CHANGES)
    }

    /// Waits for a change of any link, and takes all that there are.
    fn next(&self, deadline: Instant) -> io::Result<()> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the link does not carry");
        let rest = deadline.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()).ok_or_else(late)?;
        // No time at all would mean to wait for ever.
        let limit = TimeVal::new(rest.as_secs() as i64, i64::from(rest.subsec_micros().max(1)));
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &limit)?;
        let mut flags = MsgFlags::empty();
        loop {
            match recv(self.socket.as_raw_fd(), &mut [0; 1], flags) {
                // More changes than there is room for are changes, too.
                Ok(_) | Err(Errno::ENOBUFS) => flags = MsgFlags::MSG_DONTWAIT,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if flags.is_empty() => return Err(late()),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// In the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let limit = TimeVal::new(REPLY_LIMIT.as_secs() as i64, 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &limit)?;
        Ok(Self { socket, sequence: 0 })
    }

    pub fn link_by_name(&mut self, name: &str) -> io::Result<Option<Link>> {
        let request = link_message(0, vec![LinkAttribute::IfName(name.to_owned())]);
        match self.ask(RouteNetlinkMessage::GetLink(request), 0) {
            Ok(replies) => Ok(links_of(replies).next()),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn link_by_index(&mut self, index: u32) -> io::Result<Option<Link>> {
        match self.ask(RouteNetlinkMessage::GetLink(link_message(index, Vec::new())), 0) {
            Ok(replies) => Ok(links_of(replies).next()),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns once the link is so. `changes` are those of the same namespace.
    pub fn wait_for_link(
        &mut self,
        changes: &LinkChanges,
        index: u32,
        is_so: impl Fn(&Link) -> bool,
    ) -> io::Result<()> {
        let mut look = || io::Result::Ok(self.link_by_index(index)?.is_some_and(|link| is_so(&link)));
        if look()? {
            return Ok(());
        }
        changes.listen()?;
        let deadline = Instant::now() + LINK_LIMIT;
        while !look()? {
            changes.next(deadline)?;
        }
        Ok(())
    }

    /// The ports of a bridge.
    pub fn links_of_bridge(&mut self, bridge: u32) -> io::Result<Vec<Link>> {
        let request = link_message(0, vec![LinkAttribute::Controller(bridge)]);
        let replies = self.ask(RouteNetlinkMessage::GetLink(request), NLM_F_DUMP)?;
        Ok(links_of(replies).filter(|link| link.bridge == Some(bridge)).collect())
    }

    /// Makes a bridge that forwards at once (no spanning tree). Its MAC is given, so that it does not follow its ports'.
    pub fn create_bridge(&mut self, name: &str, mac: Mac, mtu: u32) -> io::Result<()> {
        let kind = LinkInfo::Kind(InfoKind::Bridge);
        let data = LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::ForwardDelay(0)]));
        let attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![kind, data]),
        ];
        self.create(RouteNetlinkMessage::NewLink(link_message(0, attributes)))
    }

    pub fn create_veth(&mut self, pair: &VethPair) -> io::Result<()> {
        let peer = link_message(
            0,
            vec![
                LinkAttribute::IfName(pair.peer_name.to_owned()),
                LinkAttribute::Address(pair.peer_mac.to_vec()),
                LinkAttribute::Mtu(pair.mtu),
                LinkAttribute::NetNsFd(pair.peer_namespace.as_raw_fd()),
            ],
        );
        let kind = LinkInfo::Kind(InfoKind::Veth);
        let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)));
        let attributes = vec![
            LinkAttribute::IfName(pair.name.to_owned()),
            LinkAttribute::Address(pair.mac.to_vec()),
            LinkAttribute::Mtu(pair.mtu),
            LinkAttribute::LinkInfo(vec![kind, data]),
        ];
        self.create(RouteNetlinkMessage::NewLink(link_message(0, attributes)))
    }

    pub fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.set_link(up(link_message(index, Vec::new())))
    }

    /// Makes the link a port of the bridge and brings it up.
    pub fn join_bridge(&mut self, index: u32, bridge: u32) -> io::Result<()> {
        self.set_link(up(link_message(index, vec![LinkAttribute::Controller(bridge)])))
    }

    pub fn set_alias(&mut self, index: u32, alias: &str) -> io::Result<()> {
        self.set_link(link_message(index, vec![LinkAttribute::IfAlias(alias.to_owned())]))
    }

    /// Lets the bridge send a frame back by the port that it came from: a container that calls its own published port
    /// needs it where bridged frames pass the IP firewall.
    pub fn reflect(&mut self, index: u32) -> io::Result<()> {
        let kind = LinkInfo::PortKind(InfoPortKind::Bridge);
        let data = LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)]));
        let request = link_message(index, vec![LinkAttribute::LinkInfo(vec![kind, data])]);
        self.ask(RouteNetlinkMessage::NewLink(request), NLM_F_ACK).map(drop)
    }

    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> io::Result<()> {
        self.set_link(link_message(index, vec![LinkAttribute::Mtu(mtu)]))
    }

    /// No error when it is gone.
    pub fn delete_link(&mut self, name: &str) -> io::Result<()> {
        let request = link_message(0, vec![LinkAttribute::IfName(name.to_owned())]);
        match self.ask(RouteNetlinkMessage::DelLink(request), NLM_F_ACK) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The IPv4 addresses of all links: index, address, prefix length.
    pub fn addresses(&mut self) -> io::Result<Vec<(u32, Ipv4Addr, u8)>> {
        let mut request = AddressMessage::default();
        request.header.family = AddressFamily::Inet;
        let replies = self.ask(RouteNetlinkMessage::GetAddress(request), NLM_F_DUMP)?;
        let addresses = replies.into_iter().filter_map(|reply| match reply {
            RouteNetlinkMessage::NewAddress(message) => {
                Some((message.header.index, local_address(&message)?, message.header.prefix_len))
            }
            _ => None,
        });
        Ok(addresses.collect())
    }

    /// No error when it is there.
    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix_length: u8) -> io::Result<()> {
        let request = RouteNetlinkMessage::NewAddress(address_message(index, address, prefix_length));
        match self.create(request) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// As [`add_address`](Self::add_address), but nothing else of the network is reached directly.
    pub fn add_lone_address(&mut self, index: u32, address: Ipv4Addr, prefix_length: u8) -> io::Result<()> {
        let mut message = address_message(index, address, prefix_length);
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
        match self.create(RouteNetlinkMessage::NewAddress(message)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    pub fn delete_address(&mut self, index: u32, address: Ipv4Addr, prefix_length: u8) -> io::Result<()> {
        let request = RouteNetlinkMessage::DelAddress(address_message(index, address, prefix_length));
        self.ask(request, NLM_F_ACK).map(drop)
    }

    /// The gateway is on the link, whatever the addresses say. No error when it is there.
    pub fn add_default_route(&mut self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let mut request = RouteMessage::default();
        request.header.address_family = AddressFamily::Inet;
        request.header.table = RouteHeader::RT_TABLE_MAIN;
        request.header.protocol = RouteProtocol::Static;
        request.header.scope = RouteScope::Universe;
        request.header.kind = RouteType::Unicast;
        request.header.flags = RouteFlags::Onlink;
        request.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway)), RouteAttribute::Oif(index)];
        match self.create(RouteNetlinkMessage::NewRoute(request)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Sends what is for this network by this link, before any other route to the very same network.
    pub fn prefer_link(&mut self, index: u32, network: Ipv4Addr, length: u8, source: Ipv4Addr) -> io::Result<()> {
        let mut request = RouteMessage::default();
        request.header.address_family = AddressFamily::Inet;
        request.header.destination_prefix_length = length;
        request.header.table = RouteHeader::RT_TABLE_MAIN;
        request.header.protocol = RouteProtocol::Kernel;
        request.header.scope = RouteScope::Link;
        request.header.kind = RouteType::Unicast;
        request.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet(network)),
            RouteAttribute::PrefSource(RouteAddress::Inet(source)),
            RouteAttribute::Oif(index),
        ];
        match self.ask(RouteNetlinkMessage::DelRoute(request.clone()), NLM_F_ACK) {
            Err(error) if error.raw_os_error() != Some(nix::libc::ESRCH) => return Err(error),
            _ => {}
        }
        // Without more flags it goes before the others.
        self.ask(RouteNetlinkMessage::NewRoute(request), NLM_F_ACK | NLM_F_CREATE).map(drop)
    }

    /// The link that packets to the outside leave by.
    pub fn uplink(&mut self) -> io::Result<Option<Link>> {
        let mut request = RouteMessage::default();
        request.header.address_family = AddressFamily::Inet;
        let replies = self.ask(RouteNetlinkMessage::GetRoute(request), NLM_F_DUMP)?;
        let index = replies.into_iter().find_map(|reply| match reply {
            RouteNetlinkMessage::NewRoute(route) if is_default(&route) => output_link(&route),
            _ => None,
        });
        index.map_or(Ok(None), |index| self.link_by_index(index))
    }

    fn set_link(&mut self, message: LinkMessage) -> io::Result<()> {
        self.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK).map(drop)
    }

    fn create(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Sends one request and takes its replies: all parts of a dump, the one object of a plain get, or nothing but
    /// the acknowledgement.
    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let single = flags & (NLM_F_ACK | NLM_F_DUMP) == 0;
        let mut replies = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full().map_err(name_timeout)?;
            let mut rest = &datagram[..];
            while let Some((reply, tail)) = split(rest)? {
                rest = tail;
                let Some(reply) = decode(reply, self.sequence)? else { continue };
                match reply {
                    Reply::End => return Ok(replies),
                    Reply::Unknown if single => return Err(io::Error::other("the kernel's answer is not understood")),
                    Reply::Unknown => {}
                    Reply::Object(object) => replies.push(*object),
                }
                if single {
                    return Ok(replies);
                }
            }
        }
    }
}

enum Reply {
    End,
    /// An object that the decoder does not know: others' devices may have any attribute and are not our concern.
    Unknown,
    Object(Box<RouteNetlinkMessage>),
}

fn name_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer in time"),
        _ => error,
    }
}

/// The first message of a datagram and what follows it.
fn split(bytes: &[u8]) -> io::Result<Option<(&[u8], &[u8])>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let buffer = NetlinkBuffer::new_checked(bytes).map_err(io::Error::other)?;
    let length = buffer.length() as usize;
    let aligned = length.next_multiple_of(4).min(bytes.len());
    Ok(Some((&bytes[..length], &bytes[aligned..])))
}

/// `None` for what belongs to another request.
fn decode(bytes: &[u8], sequence: u32) -> io::Result<Option<Reply>> {
    let buffer = NetlinkBuffer::new_checked(bytes).map_err(io::Error::other)?;
    if buffer.sequence_number() != sequence {
        return Ok(None);
    }
    let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else {
        return Ok(Some(Reply::Unknown));
    };
    match message.payload {
        NetlinkPayload::Done(_) => Ok(Some(Reply::End)),
        NetlinkPayload::Error(error) if error.code.is_none() => Ok(Some(Reply::End)),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        NetlinkPayload::InnerMessage(object) => Ok(Some(Reply::Object(Box::new(object)))),
        NetlinkPayload::Overrun(_) => Err(io::Error::other("the kernel dropped replies")),
        _ => Ok(None),
    }
}

fn link_message(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

fn up(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn address_message(index: u32, address: Ipv4Addr, prefix_length: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix_length;
    message.header.index = index;
    message.attributes =
        vec![AddressAttribute::Local(IpAddr::V4(address)), AddressAttribute::Address(IpAddr::V4(address))];
    if prefix_length < 31 {
        let host_bits = u32::MAX >> prefix_length;
        message.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::from(u32::from(address) | host_bits)));
    }
    message
}

fn local_address(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })
}

fn is_default(route: &RouteMessage) -> bool {
    let main = route.header.table == RouteHeader::RT_TABLE_MAIN;
    main && route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast
}

fn output_link(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

fn links_of(replies: Vec<RouteNetlinkMessage>) -> impl Iterator<Item = Link> {
    replies.into_iter().filter_map(|reply| match reply {
        RouteNetlinkMessage::NewLink(message) => Some(link_of(message)),
        _ => None,
    })
}

fn is_forwarding(info: &LinkInfo) -> bool {
    let LinkInfo::PortData(InfoPortData::BridgePort(port)) = info else { return false };
    port.contains(&InfoBridgePort::State(BridgePortState::Forwarding))
}

fn link_of(message: LinkMessage) -> Link {
    let mut link = Link { index: message.header.index, ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.bridge = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::OperState(state) => link.carries = (state != State::Unknown).then_some(state == State::Up),
            LinkAttribute::LinkInfo(info) => link.forwards = info.iter().any(is_forwarding),
            _ => {}
        }
    }
    link
}
