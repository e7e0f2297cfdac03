//! The PROXY protocol, version 2: what a target reads first of who the client is.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, made for a client.
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// `local` is where the client has connected to.
pub fn header(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut header = Vec::with_capacity(52);
    header.extend(SIGNATURE);
    header.push(PROXY);
    match (client.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([TCP_OVER_IPV4, 0, 12]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (from, to) => {
            header.extend([TCP_OVER_IPV6, 0, 36]);
            header.extend(mapped(from));
            header.extend(mapped(to));
        }
    }
    header.extend(client.port().to_be_bytes());
    header.extend(local.port().to_be_bytes());
    header
}

fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let check = |client: &str, local: &str, expected: &str| {
            let made = header(client.parse().expect("an address"), local.parse().expect("an address"));
            assert_eq!(hex::encode(&made[12..]), expected, "{client} {local}");
        };
        check("10.0.0.1:258", "10.0.0.2:80", "2111000c0a0000010a00000201020050");
        check("[::1]:1", "[::2]:2", &format!("21210024{:032x}{:032x}00010002", 1, 2));
    }
}
