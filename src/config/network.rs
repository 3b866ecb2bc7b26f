//! Owns networks as operators write them: `10.1.0.0/16`, `2001:db8::/32`, or one address.
//!
//! Invariant: bits behind the prefix are zero, so that nobody reads a wider network than is written.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IP addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether `ip` is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                u32::from(own) == u32::from(ip) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                u128::from(own) == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not an address with a prefix.
    #[error("expected a network such as 10.1.0.0/16, or one address")]
    Form,
    /// Bits behind the prefix.
    #[error("the address has bits behind the prefix: a network of that size begins elsewhere")]
    Bits,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= most).ok_or(NetworkError::Form)?
            }
            Some(_) => return Err(NetworkError::Form),
        };
        let network = Self { address, prefix };
        if network.contains(address) { Ok(network) } else { Err(NetworkError::Bits) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_or_out() {
        for (network, ip, within) in [
            ("10.1.0.0/16", "10.1.255.3", true),
            ("10.1.0.0/16", "10.2.0.1", false),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
        ] {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.contains(ip.parse().expect("an address")), within, "{ip} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.1.0.0/33", "10.1.0.0/", "10.1.0.0/+8", "example.jp", "2001:db8::/129", "10.1.0.0/8/8"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Form), "{text}");
        }
        assert_eq!("10.1.2.3/16".parse::<Network>(), Err(NetworkError::Bits));
        assert_eq!("10.1.0.0/16".parse::<Network>().expect("a network").to_string(), "10.1.0.0/16");
    }
}
