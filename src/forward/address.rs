//! What an address is: public, or one of the many that are not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// A host of the public internet.
    Public,
    /// Something nearer or stranger; the block it lies in, by its name. Reached only where a tool's `networks` list it.
    Private(&'static str),
    /// A cloud's metadata service, which hands credentials to whoever asks. Never reached, listed or not.
    Metadata,
}

/// What `address` is, by the IANA special-purpose address registries (RFC 6890) and the known metadata services.
///
/// An IPv6 address that carries an IPv4 one is as bad as the worse of the two.
pub fn classify(address: IpAddr) -> Class {
    let mut class = alone(address);
    for inner in embedded(address).into_iter().flatten() {
        class = match (class, alone(IpAddr::V4(inner))) {
            (Class::Metadata, _) | (_, Class::Metadata) => Class::Metadata,
            (Class::Private(block), Class::Public | Class::Private(_)) | (Class::Public, Class::Private(block)) => {
                Class::Private(block)
            }
            (Class::Public, Class::Public) => Class::Public,
        };
    }
    class
}

/// Whether `host` is the name that a cloud gives its metadata service. Such names resolve to metadata addresses where
/// the service exists; they are refused before anybody is asked.
pub fn is_metadata_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    METADATA_NAMES.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// The class of an address as it stands, whatever it carries.
pub(super) fn alone(address: IpAddr) -> Class {
    if METADATA.contains(&address) {
        return Class::Metadata;
    }
    match address {
        IpAddr::V4(ip) => named(&V4_BLOCKS, |(base, prefix, _)| shares_v4(ip, *base, *prefix)),
        // All unicast that was ever given out lies in 2000::/3 (RFC 4291 §2.4); what lies outside and has no name
        // below is reserved.
        IpAddr::V6(ip) => match named(&V6_BLOCKS, |(base, prefix, _)| shares_v6(ip, *base, *prefix)) {
            Class::Public if !shares_v6(ip, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) => {
                Class::Private("reserved")
            }
            Class::Public => Class::Public,
            Class::Private(block) => Class::Private(block),
            Class::Metadata => Class::Metadata,
        },
    }
}

fn named<A>(blocks: &[(A, u32, &'static str)], holds: impl Fn(&(A, u32, &'static str)) -> bool) -> Class {
    blocks.iter().find(|block| holds(block)).map_or(Class::Public, |(_, _, name)| Class::Private(name))
}

fn shares_v4(a: Ipv4Addr, b: Ipv4Addr, prefix: u32) -> bool {
    (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix
}

fn shares_v6(a: Ipv6Addr, b: Ipv6Addr, prefix: u32) -> bool {
    (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix
}

/// The IPv4 addresses an IPv6 address carries: mapped and compatible (RFC 4291 §2.5.5), translated (RFC 2765 §2.1),
/// NAT64 (RFC 6052 §2.2, RFC 8215), 6to4 (RFC 3056 §2), and both of Teredo's (RFC 4380 §4).
#[expect(clippy::match_same_arms, reason = "what embeds nothing must be told before what seems to")]
pub(super) fn embedded(address: IpAddr) -> [Option<Ipv4Addr>; 2] {
    let IpAddr::V6(ip) = address else { return [None, None] };
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let [_, second, third, _, _, _, seventh, eighth] = ip.segments();
    let last = joined(seventh, eighth);
    match ip.segments() {
        // Unspecified and loopback look as if they embedded 0.0.0.0 and 0.0.0.1.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => [Some(last), None],
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, _, _, _, _, _] => [Some(last), None],
        [0x2002, ..] => [Some(joined(second, third)), None],
        [0x2001, 0, high, low, ..] => [Some(joined(high, low)), Some(Ipv4Addr::from_bits(!last.to_bits()))],
        _ => [None, None],
    }
}

/// Only whole names: somebody's own service may well be called `metadata`.
const METADATA_NAMES: [&str; 3] = ["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];

/// AWS, Google, Azure, Oracle, DigitalOcean, OpenStack (169.254.169.254); AWS over IPv6, its container and pod
/// credentials; Google over IPv6; Azure's wire server, which is a public address; Alibaba; Oracle's older one;
/// Tencent; Scaleway.
const METADATA: [IpAddr; 12] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042)),
];

/// IANA IPv4 special-purpose address registry, with multicast (RFC 5771). What is not worth reaching is not told apart
/// from what is "globally reachable" in it.
const V4_BLOCKS: [(Ipv4Addr, u32, &str); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private use"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private use"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private use"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IANA IPv6 special-purpose address registry, with multicast and the retired site-local block (RFC 3879).
const V6_BLOCKS: [(Ipv6Addr, u32, &str); 16] = [
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 128, "unspecified"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 1), 128, "loopback"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "IPv4-mapped"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96, "IPv4-compatible"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "NAT64"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "local NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard-only"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "segment routing"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique local"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 9, "link-local or site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_special_block_is_private_from_its_first_to_its_last_address() {
        let ends = [
            "0.0.0.0 0.255.255.255",
            "10.0.0.0 10.255.255.255",
            "100.64.0.0 100.127.255.255",
            "127.0.0.0 127.255.255.255",
            "169.254.0.0 169.254.255.255",
            "172.16.0.0 172.31.255.255",
            "192.0.0.0 192.0.0.255",
            "192.0.2.0 192.0.2.255",
            "192.88.99.0 192.88.99.255",
            "192.168.0.0 192.168.255.255",
            "198.18.0.0 198.19.255.255",
            "198.51.100.0 198.51.100.255",
            "203.0.113.0 203.0.113.255",
            "224.0.0.0 239.255.255.255",
            "240.0.0.0 255.255.255.255",
            ":: ::1",
            "::2 ::ffff:ffff",
            "::ffff:8.8.8.8 ::ffff:255.255.255.255",
            "64:ff9b:: 64:ff9b::8.8.8.8",
            "64:ff9b:1:: 64:ff9b:1:ffff::",
            "100:: 100::ffff:ffff:ffff:ffff",
            "2001:: 2001:1ff:ffff::",
            "2001:db8:: 2001:db8:ffff::1",
            "2002:: 2002:808:808::1",
            "3fff:: 3fff:fff:ffff::1",
            "5f00:: 5f00:ffff::1",
            "fc00:: fdff:ffff::1",
            "fe80:: febf:ffff::1",
            "fec0:: feff:ffff::1",
            "ff00:: ffff:ffff::1",
            "4000:: 5eff::",
            "6000:: fbff::",
            "200:: 1fff::",
            "::ffff:0:8.8.8.8 ::ffff:0:10.0.0.1",
        ];
        for text in ends.iter().flat_map(|pair| pair.split(' ')) {
            assert!(matches!(classify(ip(text)), Class::Private(_)), "{text}: {:?}", classify(ip(text)));
        }
    }

    #[test]
    fn the_neighbours_of_special_blocks_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "8.8.8.8",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert_eq!(classify(ip(text)), Class::Public, "{text}");
        }
    }
}
