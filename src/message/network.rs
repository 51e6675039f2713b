//! Networks, and the client behind proxies that are trusted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;

/// An IP network: addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `10.0.0.0/8`, or one address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        Some(Self { address, bits })
    }

    /// Whether the address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, all: u32| {
            let rest = all.saturating_sub(u32::from(self.bits));
            one.checked_shr(rest) == other.checked_shr(rest)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(one.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

/// The client's address: the peer's, or where that is a trusted proxy the last one in
/// `X-Forwarded-For` that is none. What cannot be read is as far as anybody is believed.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|network| network.has(address));
    let mut client = peer;
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let named = lines.iter().rev().flat_map(|line| {
        let text = line.to_str().unwrap_or_default();
        text.rsplit(',').map(str::trim).collect::<Vec<_>>()
    });
    for text in named {
        if !trusts(client) {
            break;
        }
        match address(text) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// An address as proxies write it: some add the port, and brackets around one of IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    bare().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_its_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("::/0", "2001::1", "8.8.8.8"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
        ] {
            let read = Network::parse(network).unwrap();
            assert!(read.has(at(inside)) && !read.has(at(outside)), "{network}");
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/",
            "/8",
            "a/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = [Network::parse("10.0.0.0/8").unwrap()];
        let client = |peer: &str, forwarded: &[&str], trusted: &[Network]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            client(at(peer), &headers, trusted).to_string()
        };
        assert_eq!(client("10.0.0.1", &["192.0.2.1"], &[]), "10.0.0.1");
        assert_eq!(client("192.0.2.9", &["192.0.2.1"], &trusted), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &["192.0.2.1"], &trusted), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[], &trusted), "10.0.0.1");
        // What a client wrote itself stands before what proxies add.
        let forged = ["127.0.0.1, 192.0.2.1", "10.0.0.2"];
        assert_eq!(client("10.0.0.1", &forged, &trusted), "192.0.2.1");
        for unreadable in [
            "nonsense",
            "192.0.2.1:",
            "192.0.2.1:x",
            "[192.0.2.1]",
            "[::1",
        ] {
            let forwarded = format!("192.0.2.1, {unreadable}");
            assert_eq!(client("10.0.0.1", &[&forwarded], &trusted), "10.0.0.1");
        }
        for (with_port, address) in [
            ("192.0.2.1:5678", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("192.0.2.1:5678, 10.0.0.7:80", "192.0.2.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[with_port], &trusted), address);
        }
    }
}
