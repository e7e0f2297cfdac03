//! Which resolvers the machine itself asks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// When the machine names none: public ones, as docker does.
const PUBLIC: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];
/// As many as resolvers look at.
const SERVERS_MAX: usize = 3;
const PORT: u16 = 53;

/// The servers that the text of a resolv.conf names, but for `except`.
pub fn servers(text: &str, except: &[IpAddr]) -> Vec<SocketAddr> {
    let words = text.lines().map(|line| line.split_whitespace());
    let named = words.filter_map(|mut words| match words.next()? {
        "nameserver" => words.next()?.parse::<IpAddr>().ok(),
        _ => None,
    });
    let mut servers: Vec<IpAddr> = named.filter(|address| !except.contains(address)).take(SERVERS_MAX).collect();
    if servers.is_empty() {
        servers = PUBLIC.to_vec();
    }
    servers.into_iter().map(|address| SocketAddr::new(address, PORT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let except = ["172.31.0.2".parse().unwrap()];
        let found: Vec<String> = servers(text, &except).iter().map(|server| server.ip().to_string()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn servers_are_asked_in_order_and_never_ourselves() {
        check("nameserver 10.0.0.2\nnameserver 10.0.0.3\n", &["10.0.0.2", "10.0.0.3"]);
        check("# nameserver 1.1.1.1\nsearch x\n nameserver\t127.0.0.53 # stub\n", &["127.0.0.53"]);
        check("nameserver 172.31.0.2\nnameserver 10.0.0.3\n", &["10.0.0.3"]);
        check("nameserver 172.31.0.2\n", &["8.8.8.8", "8.8.4.4"]);
        check("nameserver fe80::1%eth0\nnameserver ::1\n", &["::1"]);
        check(
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4",
            &["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        );
    }
}
