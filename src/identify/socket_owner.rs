//! Whose socket is at the other end of a loopback TCP connection: one exact question to the kernel (sock_diag(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

/// `SOCK_DIAG_BY_FAMILY`, `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`, `linux/netlink.h`. Without `NLM_F_DUMP`: one socket is asked for, not a list.
const REQUEST: u16 = 1;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `TCP_ESTABLISHED`, `net/tcp_states.h`.
const ESTABLISHED: u8 = 1;
/// `struct nlmsghdr` and `struct inet_diag_req_v2`, `linux/inet_diag.h`.
const ASKED: u32 = 16 + 56;
/// `struct nlmsghdr` and `struct inet_diag_msg`.
const ANSWERED: usize = 16 + 72;

/// The uid that made the socket at `peer` which is connected to `local`; `None` if the kernel cannot or will not tell.
///
/// It is the uid at the time the socket was made, as this process's user namespace maps it (one that it does not map
/// shows as 65534). A socket that was handed on keeps its maker's.
pub(super) fn owner(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    let (peer, local) = (canonical(peer), canonical(local));
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG)).ok()?;
    send(&socket, &question(peer, local)?, SendFlags::empty()).ok()?;
    // The kernel answers within the send, so there is nothing to wait for. Nobody else can write to this socket but
    // with CAP_NET_ADMIN (netlink(7)).
    let mut answer = [0; 512];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty()).ok()?;
    uid(answer.get(..length)?, peer, local)
}

/// Where a v4-mapped address is one, its IPv4 form: such a socket is found, and shown, under either.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `struct inet_diag_req_v2`. The socket that is sought is the peer's, so the peer is its source.
fn question(peer: SocketAddr, local: SocketAddr) -> Option<Vec<u8>> {
    let (family, source, destination) = match (peer.ip(), local.ip()) {
        (IpAddr::V4(peer), IpAddr::V4(local)) => (AddressFamily::INET, padded(peer), padded(local)),
        (IpAddr::V6(peer), IpAddr::V6(local)) => (AddressFamily::INET6, peer.octets(), local.octets()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let mut bytes = Vec::with_capacity(72);
    bytes.extend(ASKED.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, port: this socket asks once
    bytes.extend([u8::try_from(family.as_raw()).ok()?, TCP, 0, 0]);
    bytes.extend((1_u32 << ESTABLISHED).to_ne_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend([0; 4]); // any interface
    bytes.extend([0xff; 8]); // no cookie
    Some(bytes)
}

/// The uid out of a `struct inet_diag_msg`, if it speaks of the socket that was asked for.
///
/// The lookup answers with whatever it finds first: without a connection, a listener on the peer's port; in TIME_WAIT,
/// or once the process has closed it, a socket that belongs to nobody any more and so shows uid 0. Hence only a
/// connected socket, between these two addresses, that still has an inode.
fn uid(answer: &[u8], peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    let message = answer.get(..ANSWERED)?;
    let found = Found {
        kind: u16::from_ne_bytes(field(message, 4)?),
        state: u8::from_ne_bytes(field(message, 17)?),
        peer: address(message, 20, 24)?,
        local: address(message, 22, 40)?,
        inode: u32::from_ne_bytes(field(message, 84)?),
    };
    let is_it = found.kind == BY_FAMILY
        && found.state == ESTABLISHED
        && found.inode != 0
        && (found.peer, found.local) == (plain(peer), plain(local));
    is_it.then_some(u32::from_ne_bytes(field(message, 80)?))
}

struct Found {
    kind: u16,
    state: u8,
    peer: (IpAddr, u16),
    local: (IpAddr, u16),
    inode: u32,
}

/// Without scope and flow label, which an answer does not carry.
fn plain(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip(), address.port())
}

fn address(message: &[u8], port: usize, ip: usize) -> Option<(IpAddr, u16)> {
    let [family] = field(message, 16)?;
    let ip = if u16::from(family) == AddressFamily::INET.as_raw() {
        Ipv4Addr::from(field::<4>(message, ip)?).into()
    } else {
        Ipv6Addr::from(field::<16>(message, ip)?).to_canonical()
    };
    Some((ip, u16::from_be_bytes(field(message, port)?)))
}

fn field<const N: usize>(message: &[u8], at: usize) -> Option<[u8; N]> {
    message.get(at..)?.first_chunk().copied()
}

fn padded(ip: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(ip.octets()).for_each(|(to, from)| *to = from);
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// An answer as the kernel gives it, for 127.0.0.1:5000 connected to 127.0.0.1:7080, of uid 1000.
    fn answer(state: u8, inode: u32) -> Vec<u8> {
        let mut bytes = vec![0; ANSWERED];
        bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        bytes[16..18].copy_from_slice(&[2, state]);
        bytes[20..22].copy_from_slice(&5000_u16.to_be_bytes());
        bytes[22..24].copy_from_slice(&7080_u16.to_be_bytes());
        bytes[24..28].copy_from_slice(&[127, 0, 0, 1]);
        bytes[40..44].copy_from_slice(&[127, 0, 0, 1]);
        bytes[80..84].copy_from_slice(&1000_u32.to_ne_bytes());
        bytes[84..88].copy_from_slice(&inode.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_a_connected_socket_between_both_addresses_is_believed() {
        let (peer, local) = ("127.0.0.1:5000".parse().unwrap(), "127.0.0.1:7080".parse().unwrap());
        let good = answer(ESTABLISHED, 77);
        assert_eq!(uid(&good, peer, local), Some(1000));
        assert_eq!(uid(&good, local, peer), None, "the other end of the connection");
        assert_eq!(uid(&good, "127.0.0.1:5001".parse().unwrap(), local), None, "another connection");
        assert_eq!(uid(&good[..87], peer, local), None, "an answer cut short");
        assert_eq!(uid(&answer(10, 77), peer, local), None, "a listener");
        assert_eq!(uid(&answer(6, 0), peer, local), None, "TIME_WAIT");
        assert_eq!(uid(&answer(ESTABLISHED, 0), peer, local), None, "a socket no process holds");
        let mut error = good;
        error[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        assert_eq!(uid(&error, peer, local), None, "an error");
    }

    #[test]
    fn a_question_is_72_bytes_in_either_family() {
        for (peer, local) in [("127.0.0.1:5000", "127.0.0.1:7080"), ("[::1]:5000", "[::1]:7080")] {
            assert_eq!(question(peer.parse().unwrap(), local.parse().unwrap()).unwrap().len(), 72);
        }
        assert_eq!(question("127.0.0.1:5".parse().unwrap(), "[::1]:7".parse().unwrap()), None);
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn the_kernel_tells_the_uid_over_ipv4_ipv6_and_v4_mapped() {
        for (listen, connect) in
            [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("[::]:0", "::ffff:127.0.0.1")]
        {
            let listener = TcpListener::bind(listen).unwrap();
            let port = listener.local_addr().unwrap().port();
            let client = TcpStream::connect((connect, port)).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            assert_eq!(owner(peer, accepted.local_addr().unwrap()), Some(own_uid()), "{listen} from {connect}");
            drop(client);
        }
    }

    #[test]
    fn a_socket_its_process_has_closed_has_no_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(owner(peer, accepted.local_addr().unwrap()), None);
    }

    #[test]
    fn a_listener_is_not_taken_for_the_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = listener.local_addr().unwrap();
        assert_eq!(owner(listening, "127.0.0.1:9".parse().unwrap()), None);
    }
}
