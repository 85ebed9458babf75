use std::{fmt, net::IpAddr, str::FromStr};

use thiserror::Error;

use crate::text::as_text;

/// A range of IP addresses, such as `10.0.0.0/8`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The first address: its bits after the prefix are 0.
    first: IpAddr,
    prefix: u8,
}

/// Why a text is not a [`Cidr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CidrError {
    /// It has another form.
    #[error("must be an IP address, or the first of a range with the length of its prefix, such as 10.1.0.0/16")]
    Form,
    /// There are bits after the prefix.
    #[error("must be the first address of the range, {0}")]
    NotFirst(Cidr),
}

impl Cidr {
    /// Whether an address is in the range. An IPv4 address that is written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.prefix) == self.first
    }
}

/// The address with the bits after the prefix set to 0.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().map_err(|_| CidrError::Form)?;
        let longest = if given.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            Some(prefix) if prefix.bytes().all(|digit| digit.is_ascii_digit()) => {
                prefix.parse().map_err(|_| CidrError::Form)?
            }
            Some(_) => return Err(CidrError::Form),
            None => longest,
        };
        if prefix > longest {
            return Err(CidrError::Form);
        }
        let (address, prefix) = match given.to_canonical() {
            canonical if canonical.is_ipv4() != given.is_ipv4() => {
                (canonical, prefix.checked_sub(96).ok_or(CidrError::Form)?)
            }
            canonical => (canonical, prefix),
        };
        let range = Self { first: masked(address, prefix), prefix };
        if range.first == address { Ok(range) } else { Err(CidrError::NotFirst(range)) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

as_text!(Cidr, "an IP address or a range of them");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_addresses_with_its_prefix() {
        for (range, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.3", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("::ffff:10.1.0.0/112", "10.1.7.7", "10.2.0.0"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ] {
            let parsed: Cidr = range.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{inside} in {range}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{outside} not in {range}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        for wrong in ["", "10.1", "10.1.0.0/33", "10.1.0.0/+8", "10.1.0.0/", "::/129", "::ffff:10.0.0.0/8", "infra1"] {
            assert_eq!(wrong.parse::<Cidr>(), Err(CidrError::Form), "{wrong}");
        }
        let error = "10.1.2.3/16".parse::<Cidr>().unwrap_err();
        assert_eq!(error.to_string(), "must be the first address of the range, 10.1.0.0/16");
    }
}
