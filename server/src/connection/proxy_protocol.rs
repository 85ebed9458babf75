//! The PROXY protocol, versions 1 and 2: by it a proxy that passes bytes on names the client first
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). The parser is pure and takes any bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// The longest header that is read. Those of version 1 have up to 107 bytes; those of version 2 may have extensions.
pub const MOST: usize = 4096;

const V1: &[u8] = b"PROXY ";
const V1_MOST: usize = 107;
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The client's own bytes.
    NoHeader,
    /// Too few bytes to know.
    Incomplete,
    /// A header of this many bytes. `source` is `None` if the connection is the proxy's own, or the proxy does not know.
    Header { length: usize, source: Option<SocketAddr> },
}

/// Bytes that begin like a header, and are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the proxy sent a header of the PROXY protocol that is not valid")]
pub struct InvalidHeader;

/// Reads the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Result<Beginning, InvalidHeader> {
    if begins_like(bytes, V2) {
        if bytes.len() < V2_FIXED { Ok(Beginning::Incomplete) } else { parse_v2(bytes) }
    } else if begins_like(bytes, V1) {
        if bytes.len() < V1.len() { Ok(Beginning::Incomplete) } else { parse_v1(bytes) }
    } else {
        Ok(Beginning::NoHeader)
    }
}

/// Whether the bytes, as far as they go, are those of a signature.
fn begins_like(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, expected)| byte == expected)
}

fn parse_v1(bytes: &[u8]) -> Result<Beginning, InvalidHeader> {
    let line = &bytes[..bytes.len().min(V1_MOST)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if line.len() < V1_MOST { Ok(Beginning::Incomplete) } else { Err(InvalidHeader) };
    };
    let line = std::str::from_utf8(&line[V1.len()..end]).map_err(|_| InvalidHeader)?;
    let words: Vec<&str> = line.split(' ').collect();
    let source = match words[..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, source_port, destination_port] => {
            let (source, _) = (v1_address::<Ipv4Addr>(source)?, v1_address::<Ipv4Addr>(destination)?);
            v1_port(destination_port)?;
            Some(SocketAddr::new(source, v1_port(source_port)?))
        }
        ["TCP6", source, destination, source_port, destination_port] => {
            let (source, _) = (v1_address::<Ipv6Addr>(source)?, v1_address::<Ipv6Addr>(destination)?);
            v1_port(destination_port)?;
            Some(SocketAddr::new(source, v1_port(source_port)?))
        }
        _ => return Err(InvalidHeader),
    };
    Ok(Beginning::Header { length: end + 2, source })
}

fn v1_address<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, InvalidHeader> {
    text.parse::<A>().map(Into::into).map_err(|_| InvalidHeader)
}

fn v1_port(text: &str) -> Result<u16, InvalidHeader> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or(InvalidHeader)
}

fn parse_v2(bytes: &[u8]) -> Result<Beginning, InvalidHeader> {
    let (version_and_command, family, length) = (bytes[12], bytes[13], u16::from_be_bytes([bytes[14], bytes[15]]));
    let length = V2_FIXED + usize::from(length);
    if version_and_command >> 4 != 2 || length > MOST {
        return Err(InvalidHeader);
    }
    if bytes.len() < length {
        return Ok(Beginning::Incomplete);
    }
    let addresses = &bytes[V2_FIXED..length];
    let source = match (version_and_command & 0xf, family) {
        // The proxy checks whether this server lives.
        (0, _) => None,
        (1, 0x11) => {
            let [a, b, c, d, _, _, _, _, high, low, ..] = *addresses else { return Err(InvalidHeader) };
            if addresses.len() < 12 {
                return Err(InvalidHeader);
            }
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
        }
        (1, 0x21) => {
            let (Some((source, _)), Some(&[high, low]), true) =
                (addresses.split_first_chunk::<16>(), addresses.get(32..34), addresses.len() >= 36)
            else {
                return Err(InvalidHeader);
            };
            Some(SocketAddr::new(Ipv6Addr::from(*source).into(), u16::from_be_bytes([high, low])))
        }
        // Families without an IP address, such as Unix sockets.
        (1, _) => None,
        _ => return Err(InvalidHeader),
    };
    Ok(Beginning::Header { length, source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&V2[..], &[command, family], &length, addresses].concat()
    }

    fn header(length: usize, source: Option<&str>) -> Result<Beginning, InvalidHeader> {
        Ok(Beginning::Header { length, source: source.map(|source| source.parse().unwrap()) })
    }

    #[test]
    fn headers_of_both_versions_name_the_client() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[33]) = (0x20, 0x01, 1, 80);
        for (bytes, expected) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\nGET /".to_vec(), header(39, Some("192.0.2.1:4660"))),
            (b"PROXY TCP6 2001::1 ::1 80 80\r\n".to_vec(), header(30, Some("[2001::1]:80"))),
            (b"PROXY UNKNOWN\r\n".to_vec(), header(15, None)),
            (b"PROXY UNKNOWN whatever else\r\n".to_vec(), header(29, None)),
            (v2(0x21, 0x11, &v4), header(28, Some("192.0.2.1:4660"))),
            (
                [v2(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()), b"GET".to_vec()].concat(),
                header(32, Some("192.0.2.1:4660")),
            ),
            (v2(0x21, 0x21, &v6), header(52, Some("[2001::1]:80"))),
            (v2(0x20, 0x00, &[]), header(16, None)),
            (v2(0x21, 0x31, &[0; 216]), header(232, None)),
        ] {
            assert_eq!(parse(&bytes), expected, "{bytes:?}");
            let Ok(Beginning::Header { length, .. }) = expected else { unreachable!() };
            for cut in 0..length {
                assert_eq!(parse(&bytes[..cut]), Ok(Beginning::Incomplete), "{cut} of {bytes:?}");
            }
        }
    }

    #[test]
    fn bytes_without_a_header_are_the_clients() {
        for bytes in [
            "GET / HTTP/1.1\r\n",
            "PUT /",
            "PROPFIND /",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x16\x03\x01",
            "\r\nGET /",
        ] {
            assert_eq!(parse(bytes.as_bytes()), Ok(Beginning::NoHeader), "{bytes:?}");
        }
    }

    #[test]
    fn invalid_headers_are_refused() {
        for bytes in [
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4660\r\n".to_vec(),
            b"PROXY TCP4 2001::1 ::1 80 80\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.1 ::1 80 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 70000 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +80 80\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.1 10.0.0.1 80 80\r\n".to_vec(),
            b"PROXY HTTP 192.0.2.1 10.0.0.1 80 80\r\n".to_vec(),
            [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &[0; MOST]),
        ] {
            assert_eq!(parse(&bytes), Err(InvalidHeader), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_no_header_is_longer_than_what_was_sent(
            beginning in proptest::sample::select(vec![V1.to_vec(), V2.to_vec(), Vec::new(), v2(0x21, 0x11, &[])[..14].to_vec()]),
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [beginning, rest].concat();
            if let Ok(Beginning::Header { length, .. }) = parse(&bytes) {
                prop_assert!(length <= bytes.len() && length <= MOST);
            }
        }
    }
}
