//! An address is as reachable as the worst that is in it, metadata services never are, and the rest only if listed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use countersign::forward::{Class, allowed, classify, is_listed};
use countersign::model::Network;

/// Input: a byte (0: IPv4, else IPv6; from 128 on the block around the address is listed), the length of that block's
/// prefix, and the bytes of addresses.
pub fn holds(bytes: &[u8]) -> bool {
    let [kind, prefix, bytes @ ..] = bytes else { return false };
    let addresses: Vec<IpAddr> = if kind % 128 == 0 {
        bytes.as_chunks::<4>().0.iter().map(|it| Ipv4Addr::from_octets(*it).into()).collect()
    } else {
        bytes.as_chunks::<16>().0.iter().map(|it| Ipv6Addr::from_octets(*it).into()).collect()
    };
    let networks: Vec<Network> =
        addresses.first().filter(|_| *kind > 127).map(|it| around(*it, *prefix)).into_iter().collect();
    let everything: Vec<Network> = ["0.0.0.0/0", "::/0"].map(|text| text.parse().unwrap()).into();
    for address in &addresses {
        alone(*address, &networks, &everything);
    }
    let all: Vec<SocketAddr> = addresses.iter().map(|it| SocketAddr::new(*it, 443)).collect();
    let each = all.iter().all(|it| allowed(&[*it], &networks, &[]).is_ok());
    let together = allowed(&all, &networks, &[]);
    assert_eq!(together.is_ok(), each && !all.is_empty() && all.len() <= 64, "an answer is as good as its worst");
    assert!(together.is_err() || together.as_ref().ok() == all.first(), "another address than was looked at");
    if let Some(first) = all.first() {
        assert!(allowed(&all, &everything, &[*first]).is_err(), "one of our own doors");
    }
    together.is_ok()
}

fn alone(address: IpAddr, networks: &[Network], everything: &[Network]) {
    let class = classify(address);
    let at = [SocketAddr::new(address, 443)];
    assert!(class != Class::Public || !is_global_to_nobody(address), "{address} is nobody's, and public");
    let inner = carried(address);
    for v4 in inner.iter().map(|it| IpAddr::V4(*it)) {
        assert!(badness(class) >= badness(classify(v4)), "{address} is {class:?} and holds {v4}: {:?}", classify(v4));
    }
    if inner.iter().any(|it| is_metadata(IpAddr::V4(*it))) || is_metadata(address) {
        assert_eq!(class, Class::Metadata, "{address}");
    }
    assert_eq!(allowed(&at, everything, &[]).is_ok(), class != Class::Metadata, "{address}, with everything listed");
    assert_eq!(allowed(&at, &[], &[]).is_ok(), class == Class::Public, "{address}, with nothing listed");
    if allowed(&at, networks, &[]).is_ok() {
        let listed = |it: IpAddr| classify(it) == Class::Public || is_listed(it, networks);
        assert!(listed(address) && inner.iter().all(|it| listed((*it).into())), "{address} is not listed");
    }
}

fn badness(class: Class) -> u8 {
    match class {
        Class::Public => 0,
        Class::Private(_) => 1,
        Class::Metadata => 2,
    }
}

/// By what std knows of addresses.
fn is_global_to_nobody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

fn is_metadata(address: IpAddr) -> bool {
    ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"]
        .iter()
        .any(|known| known.parse() == Ok(address))
}

/// The IPv4 addresses in an IPv6 one, by its octets (RFC 4291 §2.5.5, RFC 6052 §2.2, RFC 3056 §2, RFC 4380 §4).
fn carried(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(ip) = address else { return Vec::new() };
    let octets = ip.octets();
    let at = |from: usize| Ipv4Addr::new(octets[from], octets[from + 1], octets[from + 2], octets[from + 3]);
    let mut carried: Vec<Ipv4Addr> = ip.to_ipv4_mapped().into_iter().collect();
    let compatible = octets[..12] == [0; 12] && !ip.is_loopback() && !ip.is_unspecified();
    if compatible || octets[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0] {
        carried.push(at(12));
    }
    if octets[..2] == [0x20, 0x02] {
        carried.push(at(2));
    }
    if octets[..4] == [0x20, 0x01, 0, 0] {
        carried.push(at(4));
        carried.push(Ipv4Addr::from_bits(!at(12).to_bits()));
    }
    carried
}

/// The block of this prefix (modulo what there is) around an address.
fn around(address: IpAddr, prefix: u8) -> Network {
    let text = match address {
        IpAddr::V4(ip) => {
            let prefix = u32::from(prefix) % 33;
            let bits = ip.to_bits() & u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv4Addr::from_bits(bits))
        }
        IpAddr::V6(ip) => {
            let prefix = u32::from(prefix) % 129;
            let bits = ip.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv6Addr::from_bits(bits))
        }
    };
    text.parse().unwrap()
}
