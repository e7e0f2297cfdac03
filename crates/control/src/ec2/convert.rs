//! Rules of security groups between wire and model.

use ipnet::{Ipv4Net, Ipv6Net};
use model::security_group::{Direction, IcmpKind, Peer, Ports, SecurityGroupRule, Traffic};
use wire::ec2::{Error, IpPermission, IpRange, Ipv6Range, PrefixListId, UserIdGroupPair};

use super::refuse;

/// A rule that the caller asks for, its groups and prefix lists not looked up yet.
pub(super) struct Draft {
    pub traffic: Traffic,
    pub peer: PeerDraft,
    pub description: Option<String>,
}

pub(super) enum PeerDraft {
    Cidr(Ipv4Net),
    Cidr6(Ipv6Net),
    Group(UserIdGroupPair),
    PrefixList(String),
}

const DESCRIPTION_LENGTH_MAX: usize = 255;
const ICMP_V6: u8 = 58;

/// All rules of the permissions, one for each peer.
///
/// # Errors
/// EC2's, for protocols, ports and addresses that are none.
pub(super) fn drafts(permissions: Vec<IpPermission>) -> Result<Vec<Draft>, Error> {
    let mut drafts = Vec::new();
    for permission in permissions {
        let traffic = traffic(permission.ip_protocol.as_deref(), permission.from_port, permission.to_port)?;
        let before = drafts.len();
        let mut add = |peer, description: Option<String>| {
            drafts.push(Draft { traffic, peer, description: checked_description(description)? });
            Ok::<_, Error>(())
        };
        for range in permission.ip_ranges.unwrap_or_default() {
            add(PeerDraft::Cidr(cidr(&range.cidr_ip.unwrap_or_default())?), range.description)?;
        }
        for range in permission.ipv6_ranges.unwrap_or_default() {
            add(PeerDraft::Cidr6(cidr6(&range.cidr_ipv6.unwrap_or_default())?), range.description)?;
        }
        for list in permission.prefix_list_ids.unwrap_or_default() {
            add(PeerDraft::PrefixList(list.prefix_list_id.unwrap_or_default()), list.description)?;
        }
        for pair in permission.user_id_group_pairs.unwrap_or_default() {
            let description = pair.description.clone();
            add(PeerDraft::Group(pair), description)?;
        }
        if drafts.len() == before {
            let text = "The request must contain the parameter ipRanges, ipv6Ranges, prefixListIds or groups";
            return Err(refuse("MissingParameter", text));
        }
    }
    Ok(drafts)
}

/// What may pass, from the words of the API.
pub(super) fn traffic(protocol: Option<&str>, from: Option<i32>, to: Option<i32>) -> Result<Traffic, Error> {
    let Some(protocol) = protocol.filter(|protocol| !protocol.is_empty()) else {
        let text = "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.";
        return Err(invalid(text));
    };
    match protocol.to_ascii_lowercase().as_str() {
        "-1" | "all" => Ok(Traffic::All),
        "tcp" | "6" => ports(from, to).map(Traffic::Tcp),
        "udp" | "17" => ports(from, to).map(Traffic::Udp),
        "icmp" | "1" => icmp(from, to).map(Traffic::Icmp),
        "icmpv6" | "58" if from.unwrap_or(-1) != -1 => {
            Err(refuse("UnsupportedOperation", "Types of ICMPv6 messages are not supported by Gantry yet."))
        }
        "icmpv6" => Ok(Traffic::Protocol(ICMP_V6)),
        number => {
            let unknown = || invalid(format!("Invalid value '{protocol}' for IP protocol. Unknown protocol."));
            number.parse().map(Traffic::Protocol).map_err(|_| unknown())
        }
    }
}

fn ports(from: Option<i32>, to: Option<i32>) -> Result<Ports, Error> {
    let (Some(from), Some(to)) = (from, to) else {
        return Err(invalid("Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."));
    };
    let port =
        |number: i32| u16::try_from(number).map_err(|_| invalid(format!("TCP/UDP port ({number}) out of range")));
    let ports = Ports { from: port(from)?, to: port(to)? };
    if ports.from > ports.to {
        return Err(invalid(format!("Invalid TCP/UDP port range ({from}:{to})")));
    }
    Ok(ports)
}

fn icmp(kind: Option<i32>, code: Option<i32>) -> Result<IcmpKind, Error> {
    let (Some(kind), Some(code)) = (kind, code) else {
        return Err(invalid("Invalid value 'Must specify both from and to ports with ICMP.' for portRange."));
    };
    let byte =
        |number: i32| u8::try_from(number).map_err(|_| invalid(format!("ICMP type or code ({number}) out of range")));
    match (kind, code) {
        (-1, -1) => Ok(IcmpKind::Any),
        (-1, _) => Err(invalid(format!("Invalid ICMP code ({code}): it needs an ICMP type"))),
        (kind, -1) => byte(kind).map(IcmpKind::Type),
        (kind, code) => Ok(IcmpKind::TypeAndCode(byte(kind)?, byte(code)?)),
    }
}

/// Bits beyond the prefix are dropped, as AWS does.
pub(super) fn cidr(text: &str) -> Result<Ipv4Net, Error> {
    let net = text.parse::<Ipv4Net>();
    net.map(|net| net.trunc()).map_err(|_| invalid(format!("CIDR block {text} is malformed")))
}

/// The range of something that is to be made. Bits beyond the prefix are dropped, as AWS does.
pub(super) fn cidr_block(text: &str) -> Result<Ipv4Net, Error> {
    let malformed =
        |_| invalid(format!("Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."));
    text.parse::<Ipv4Net>().map(|net| net.trunc()).map_err(malformed)
}

pub(super) fn cidr6(text: &str) -> Result<Ipv6Net, Error> {
    let net = text.parse::<Ipv6Net>();
    net.map(|net| net.trunc()).map_err(|_| invalid(format!("CIDR block {text} is malformed")))
}

pub(super) fn checked_description(given: Option<String>) -> Result<Option<String>, Error> {
    let given = given.filter(|text| !text.is_empty());
    if given.as_ref().is_some_and(|text| !is_plain(text)) {
        return Err(invalid(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following \
             set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        ));
    }
    Ok(given)
}

/// The characters and the length of names and descriptions.
pub(super) fn is_plain(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ". _-:/()#,@[]+=&;{}!$*".contains(c);
    text.len() <= DESCRIPTION_LENGTH_MAX && text.chars().all(fits)
}

fn invalid(text: impl Into<String>) -> Error {
    refuse("InvalidParameterValue", text)
}

/// Protocol, from and to, as rules show them: -1 for all.
pub(super) fn traffic_to_wire(traffic: Traffic) -> (String, i32, i32) {
    let (protocol, from, to) = match traffic {
        Traffic::All => ("-1".to_owned(), -1, -1),
        Traffic::Tcp(ports) => ("tcp".to_owned(), ports.from.into(), ports.to.into()),
        Traffic::Udp(ports) => ("udp".to_owned(), ports.from.into(), ports.to.into()),
        Traffic::Icmp(IcmpKind::Any) => ("icmp".to_owned(), -1, -1),
        Traffic::Icmp(IcmpKind::Type(kind)) => ("icmp".to_owned(), kind.into(), -1),
        Traffic::Icmp(IcmpKind::TypeAndCode(kind, code)) => ("icmp".to_owned(), kind.into(), code.into()),
        Traffic::Protocol(ICMP_V6) => ("icmpv6".to_owned(), -1, -1),
        Traffic::Protocol(number) => (number.to_string(), -1, -1),
    };
    (protocol, from, to)
}

/// The rules of one direction as permissions: those of the same traffic together, in the order of the first of each.
pub(super) fn permissions(account: &str, direction: Direction, rules: &[SecurityGroupRule]) -> Vec<IpPermission> {
    let mut permissions: Vec<(Traffic, IpPermission)> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.direction == direction) {
        let place = permissions.iter().position(|(traffic, _)| *traffic == rule.traffic);
        let place = place.unwrap_or_else(|| {
            permissions.push((rule.traffic, empty_permission(rule.traffic)));
            permissions.len() - 1
        });
        add_peer(&mut permissions[place].1, account, rule);
    }
    permissions.into_iter().map(|(_, permission)| permission).collect()
}

fn empty_permission(traffic: Traffic) -> IpPermission {
    let (protocol, from, to) = traffic_to_wire(traffic);
    let has_ports = !matches!(traffic, Traffic::All | Traffic::Protocol(_));
    IpPermission {
        ip_protocol: Some(protocol),
        from_port: has_ports.then_some(from),
        to_port: has_ports.then_some(to),
        ip_ranges: Some(Vec::new()),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
        user_id_group_pairs: Some(Vec::new()),
    }
}

fn add_peer(permission: &mut IpPermission, account: &str, rule: &SecurityGroupRule) {
    let description = rule.description.clone();
    match &rule.peer {
        Peer::Cidr(net) => {
            let range = IpRange { cidr_ip: Some(net.to_string()), description };
            permission.ip_ranges.get_or_insert_default().push(range);
        }
        Peer::Cidr6(net) => {
            let range = Ipv6Range { cidr_ipv6: Some(net.to_string()), description };
            permission.ipv6_ranges.get_or_insert_default().push(range);
        }
        Peer::PrefixList(id) => {
            let list = PrefixListId { prefix_list_id: Some(id.clone()), description };
            permission.prefix_list_ids.get_or_insert_default().push(list);
        }
        Peer::Group(id) => {
            let pair = UserIdGroupPair {
                description,
                group_id: Some(id.clone()),
                user_id: Some(account.to_owned()),
                ..UserIdGroupPair::default()
            };
            permission.user_id_group_pairs.get_or_insert_default().push(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::error::Failure;

    use super::*;

    #[test]
    fn protocols_and_ports_are_read_and_shown() {
        let check = |protocol, from, to, expected: Result<(&str, i32, i32), &str>| {
            let read =
                traffic(Some(protocol), from, to).map(traffic_to_wire).map_err(|error| Failure::from(error).message);
            let expected = expected.map(|(protocol, from, to)| (protocol.to_owned(), from, to)).map_err(str::to_owned);
            assert_eq!(read, expected, "{protocol} {from:?} {to:?}");
        };
        check("tcp", Some(80), Some(90), Ok(("tcp", 80, 90)));
        check("6", Some(0), Some(65535), Ok(("tcp", 0, 65535)));
        check("UDP", Some(53), Some(53), Ok(("udp", 53, 53)));
        check("-1", Some(5), None, Ok(("-1", -1, -1)));
        check("icmp", Some(-1), Some(-1), Ok(("icmp", -1, -1)));
        check("icmp", Some(8), Some(-1), Ok(("icmp", 8, -1)));
        check("icmp", Some(3), Some(4), Ok(("icmp", 3, 4)));
        check("50", None, None, Ok(("50", -1, -1)));
        check("icmpv6", Some(-1), Some(-1), Ok(("icmpv6", -1, -1)));
        check("icmpv6", Some(8), Some(-1), Err("Types of ICMPv6 messages are not supported by Gantry yet."));
        check("tcp", Some(90), Some(80), Err("Invalid TCP/UDP port range (90:80)"));
        check("tcp", Some(80), Some(70000), Err("TCP/UDP port (70000) out of range"));
        check(
            "udp",
            Some(80),
            None,
            Err("Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."),
        );
        check("icmp", Some(-1), Some(3), Err("Invalid ICMP code (3): it needs an ICMP type"));
        check("icmp", Some(256), Some(-1), Err("ICMP type or code (256) out of range"));
        check("256", None, None, Err("Invalid value '256' for IP protocol. Unknown protocol."));
        check("smtp", None, None, Err("Invalid value 'smtp' for IP protocol. Unknown protocol."));
    }

    #[test]
    fn networks_lose_the_bits_beyond_their_prefix() {
        assert_eq!(cidr("10.1.2.3/16").unwrap().to_string(), "10.1.0.0/16");
        assert_eq!(cidr6("2001:db8::1/32").unwrap().to_string(), "2001:db8::/32");
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "", "::/0"] {
            let failure = Failure::from(cidr(text).unwrap_err());
            assert_eq!(failure.message, format!("CIDR block {text} is malformed"));
        }
    }
}
