//! Which addresses a connection may be made to: public ones, and those a tool lists.

use std::net::{IpAddr, SocketAddr};

use super::address::{Class, alone, classify, embedded};
use crate::model::Network;

/// How many addresses of one answer are looked at. More than a name has in practice; an answer with more is refused.
pub const MOST_ADDRESSES: usize = 64;

/// Why a connection is not made. Meant for the log and for reviewers, not for the agent: it names addresses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Blocked {
    /// The answer is empty.
    #[error("the name has no address")]
    Nothing,
    /// More addresses than are looked at.
    #[error("the name has {0} addresses, more than {MOST_ADDRESSES}")]
    TooMany(usize),
    /// The name or the address of a metadata service.
    #[error("`{0}` is a cloud's metadata service")]
    Metadata(String),
    /// Not public, and not listed.
    #[error("`{address}` is not public ({block}) and not in the tool's `networks`")]
    Private {
        /// What the name resolved to.
        address: IpAddr,
        /// The block it lies in.
        block: &'static str,
    },
    /// One of our own doors.
    #[error("`{0}` is one of the sidecar's own doors")]
    Loop(SocketAddr),
    /// Without TLS, and not listed.
    #[error("`{0}` would be called without TLS and is not in the tool's `networks`")]
    Plaintext(IpAddr),
}

/// The one address of a resolver's answer that may be dialled: the first, if every address of the answer may be reached.
///
/// One bad address refuses the whole answer, since a name that is half inside is either a mistake or an attack.
/// `networks` are the non-public blocks that the tool may reach, `own` the addresses that our own doors listen on.
pub fn allowed(addresses: &[SocketAddr], networks: &[Network], own: &[SocketAddr]) -> Result<SocketAddr, Blocked> {
    if addresses.len() > MOST_ADDRESSES {
        return Err(Blocked::TooMany(addresses.len()));
    }
    for address in addresses {
        may_be_reached(*address, networks, own)?;
    }
    addresses.first().copied().ok_or(Blocked::Nothing)
}

/// Whether `address` lies in one of `networks`.
pub fn is_listed(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Whether a connection that stands goes to ourselves: both ends on one address, at the port of one of our doors.
///
/// A door that listens on every address is also reached through the machine's outer addresses, which are not known
/// before the connection is made.
pub fn came_home(local: SocketAddr, peer: SocketAddr, own: &[SocketAddr]) -> bool {
    let (here, there) = (local.ip().to_canonical(), peer.ip().to_canonical());
    let ours = |door: &SocketAddr| door.ip().is_unspecified() || door.ip().to_canonical() == there;
    here == there && own.iter().any(|door| door.port() == peer.port() && ours(door))
}

fn may_be_reached(address: SocketAddr, networks: &[Network], own: &[SocketAddr]) -> Result<(), Blocked> {
    let ip = address.ip();
    if is_own(address, own) {
        return Err(Blocked::Loop(address));
    }
    // Listing `64:ff9b::/96` says that the translator may be used, not that loopback may be reached through it.
    let inner = embedded(ip).into_iter().flatten().map(IpAddr::V4);
    let mut faces = std::iter::once(ip).chain(inner);
    match classify(ip) {
        Class::Public => Ok(()),
        Class::Metadata => Err(Blocked::Metadata(ip.to_string())),
        Class::Private(_) if faces.all(|face| alone(face) == Class::Public || is_listed(face, networks)) => Ok(()),
        Class::Private(block) => Err(Blocked::Private { address: ip, block }),
    }
}

fn is_own(address: SocketAddr, own: &[SocketAddr]) -> bool {
    let ip = address.ip().to_canonical();
    own.iter().any(|door| {
        let at = door.ip().to_canonical();
        // To dial the unspecified address is to dial loopback.
        let same = at == ip || ip.is_unspecified() || (at.is_unspecified() && ip.is_loopback());
        same && door.port() == address.port()
    })
}

#[cfg(test)]
mod tests {
    use super::super::address::is_metadata_name;
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(text: &str) -> SocketAddr {
        SocketAddr::new(ip(text), 443)
    }

    fn nets(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_metadata_service_is_known_in_every_disguise() {
        for text in [
            "169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "169.254.170.2",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:808:808::5601:5601",
            "::ffff:0:169.254.169.254",
        ] {
            assert_eq!(classify(ip(text)), Class::Metadata, "{text}");
            let everything = nets(&["0.0.0.0/0", "::/0"]);
            assert!(matches!(allowed(&[at(text)], &everything, &[]), Err(Blocked::Metadata(_))), "{text}");
        }
        assert!(is_metadata_name("Metadata.Google.Internal."));
        assert!(!is_metadata_name("metadata.google.internal.example.com"));
    }

    #[test]
    fn one_bad_address_refuses_the_whole_answer() {
        let good = at("8.8.8.8");
        assert_eq!(allowed(&[good, at("1.1.1.1")], &[], &[]), Ok(good));
        for bad in ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1"] {
            for answer in [[good, at(bad)], [at(bad), good]] {
                assert!(matches!(allowed(&answer, &[], &[]), Err(Blocked::Private { .. })), "{bad}");
            }
        }
    }

    #[test]
    fn a_listed_network_opens_itself_and_nothing_behind_it() {
        let ten = nets(&["10.0.0.0/8"]);
        assert!(allowed(&[at("10.1.2.3")], &ten, &[]).is_ok());
        for other in ["192.168.0.1", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"] {
            assert!(allowed(&[at(other)], &ten, &[]).is_err(), "{other}");
        }
        let translator = nets(&["64:ff9b::/96"]);
        assert!(allowed(&[at("64:ff9b::8.8.8.8")], &translator, &[]).is_ok());
        assert!(allowed(&[at("64:ff9b::127.0.0.1")], &translator, &[]).is_err());
    }

    #[test]
    fn an_endless_or_empty_answer_is_refused() {
        let most = vec![at("8.8.8.8"); MOST_ADDRESSES];
        assert!(allowed(&most, &[], &[]).is_ok());
        let more = vec![at("8.8.8.8"); MOST_ADDRESSES + 1];
        assert_eq!(allowed(&more, &[], &[]), Err(Blocked::TooMany(65)));
        assert_eq!(allowed(&[], &[], &[]), Err(Blocked::Nothing));
    }

    #[test]
    fn our_own_doors_are_never_dialled() {
        let everything = nets(&["0.0.0.0/0", "::/0"]);
        let door: SocketAddr = "127.0.0.1:7080".parse().unwrap();
        let wide: SocketAddr = "0.0.0.0:7081".parse().unwrap();
        for dialled in [
            "127.0.0.1:7080",
            "[::ffff:127.0.0.1]:7080",
            "0.0.0.0:7080",
            "127.0.0.1:7081",
            "127.9.9.9:7081",
            "[::1]:7081",
        ] {
            let answer = [dialled.parse().unwrap()];
            assert!(matches!(allowed(&answer, &everything, &[door, wide]), Err(Blocked::Loop(_))), "{dialled}");
        }
        assert!(allowed(&["127.0.0.1:7082".parse().unwrap()], &everything, &[door, wide]).is_ok());
    }

    #[test]
    fn a_connection_to_our_own_outer_address_is_found_out() {
        let door: SocketAddr = "0.0.0.0:7080".parse().unwrap();
        let (here, there) = ("198.51.100.7:50000".parse().unwrap(), "198.51.100.7:7080".parse().unwrap());
        assert!(came_home(here, there, &[door]));
        assert!(!came_home(here, "198.51.100.8:7080".parse().unwrap(), &[door]));
        assert!(!came_home(here, there, &["127.0.0.1:7080".parse().unwrap()]));
    }
}
