//! A tool: where it is, and what may pass to it and back.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

/// A tool as configured.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name: the first segment of the path at the door.
    pub name: Arc<str>,
    /// `https`, or `http` where the configuration says `plaintext`.
    pub scheme: http::uri::Scheme,
    /// Host and, if it is not the scheme's own, port.
    pub authority: http::uri::Authority,
    /// What stands before every path, without a slash at its end; often empty.
    pub base_path: String,
    /// Non-public addresses it may resolve to.
    pub networks: Vec<Network>,
    /// The issuer of its credentials.
    pub issuer: Arc<str>,
    /// How long one call may take, from the first byte sent to the last received.
    pub max_call: Duration,
    /// Bytes a request's body may have.
    pub max_body: usize,
    /// Request headers that pass, beyond those that always do.
    pub request_headers: Vec<HeaderName>,
    /// Answer headers that pass, beyond those that always do.
    pub answer_headers: Vec<HeaderName>,
}

impl Tool {
    /// Scheme, host and port (RFC 6454 §6.2), as a token's audience and a record name it.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Whether a call of this tool goes where one of the other goes, by the same ways and with a credential of the same issuer.
    pub fn leads_where(&self, other: &Self) -> bool {
        (&self.scheme, &self.authority, &self.base_path) == (&other.scheme, &other.authority, &other.base_path)
            && (&self.networks, &self.issuer) == (&other.networks, &other.issuer)
    }

    /// The port that is dialled.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.scheme == http::uri::Scheme::HTTP { 80 } else { 443 })
    }
}

/// A block of addresses, as `10.0.0.0/8` (RFC 4632 §3.1) or `fd00::/8` (RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                same_bits(u128::from(net.to_bits()), u128::from(ip.to_bits()), 32 - self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => same_bits(net.to_bits(), ip.to_bits(), 128 - self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn same_bits(a: u128, b: u128, ignored: u8) -> bool {
    let shift = u32::from(ignored);
    a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
}

/// Text that is no block of addresses.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a network such as `10.0.0.0/8`, with no bits set behind the prefix")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let (bits, width) = match address {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
            IpAddr::V6(ip) => (ip.to_bits(), 128),
        };
        if prefix > width || bits.trailing_zeros() < u32::from(width - prefix) && bits != 0 {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let net: Network = "10.0.0.0/8".parse().unwrap();
        assert!(net.contains("10.255.0.1".parse().unwrap()));
        assert!(!net.contains("11.0.0.1".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        let six: Network = "fd00::/8".parse().unwrap();
        assert!(six.contains("fd12::1".parse().unwrap()));
    }

    #[test]
    fn a_network_with_stray_bits_is_refused() {
        for wrong in ["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "fd00::1/8", "x/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
