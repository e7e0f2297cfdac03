//! Which name servers tasks get: the host's, as far as a task can reach them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Where the host's real servers are written when /etc/resolv.conf names a stub on loopback.
const CANDIDATES: [&str; 3] =
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"];
/// When the host names none that a task could reach: public ones, as docker does.
const PUBLIC: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];
/// As many as resolvers look at.
const SERVERS_MAX: usize = 3;

pub fn servers() -> Vec<IpAddr> {
    let files = CANDIDATES.map(|path| std::fs::read_to_string(Path::new(path)).unwrap_or_default());
    reachable_servers(&files)
}

/// The servers of the first file that names any that is not a loopback address: a stub listens only to its own host.
fn reachable_servers<S: AsRef<str>>(files: &[S]) -> Vec<IpAddr> {
    let named = files.iter().map(|file| parse_servers(file.as_ref())).find(|servers| !servers.is_empty());
    named.unwrap_or_else(|| PUBLIC.to_vec())
}

fn parse_servers(text: &str) -> Vec<IpAddr> {
    let words = text.lines().map(|line| line.split_whitespace());
    let servers = words.filter_map(|mut words| match words.next()? {
        "nameserver" => words.next()?.parse::<IpAddr>().ok(),
        _ => None,
    });
    servers.filter(|address| address.is_ipv4() && !address.is_loopback()).take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], expected: &[&str]) {
        let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(reachable_servers(files), expected, "{files:?}");
    }

    #[test]
    fn loopback_stubs_give_way_to_the_servers_behind_them() {
        check(&["nameserver 10.0.0.2\nnameserver 10.0.0.3\n"], &["10.0.0.2", "10.0.0.3"]);
        check(&["# nameserver 1.1.1.1\nsearch x\n nameserver\t10.0.0.2 # main\n"], &["10.0.0.2"]);
        check(&["nameserver 127.0.0.53\n", "nameserver 10.0.0.2\n"], &["10.0.0.2"]);
        check(&["nameserver 127.0.0.1\nnameserver 10.0.0.9\n", "nameserver 10.0.0.2\n"], &["10.0.0.9"]);
        check(&["nameserver ::1\nnameserver fe80::1%eth0\n", ""], &["8.8.8.8", "8.8.4.4"]);
        check(
            &["nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4"],
            &["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        );
    }
}
