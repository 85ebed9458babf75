//! The headers in which proxies name the clients that they were asked by. The parsers are pure, take any bytes and never fail:
//! a hop that can't be read is `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How many hops are read, from the last one on.
pub const MOST_HOPS: usize = 32;

/// The hops of all lines of `X-Forwarded-For`, oldest first.
pub fn x_forwarded_for<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Option<IpAddr>> {
    let hops = lines.flat_map(|line| line.split(|byte| *byte == b','));
    latest(hops.map(|hop| std::str::from_utf8(hop).ok().and_then(|hop| address(trim(hop)))).collect())
}

/// The hops of all lines of `Forwarded` (RFC 7239), oldest first.
pub fn forwarded<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Option<IpAddr>> {
    let hops = lines.flat_map(|line| match std::str::from_utf8(line) {
        Ok(line) => split_outside_quotes(line, ',').into_iter().map(hop).collect(),
        Err(_) => vec![None],
    });
    latest(hops.collect())
}

fn latest(mut hops: Vec<Option<IpAddr>>) -> Vec<Option<IpAddr>> {
    hops.drain(..hops.len().saturating_sub(MOST_HOPS));
    hops
}

/// The address of the only `for` of an element.
fn hop(element: &str) -> Option<IpAddr> {
    let mut found = split_outside_quotes(element, ';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        trim(name).eq_ignore_ascii_case("for").then_some(trim(value))
    });
    let (value, another) = (found.next()?, found.next());
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    // An address has nothing that needs a backslash.
    if another.is_some() || value.contains(['"', '\\']) { None } else { address(value) }
}

/// An address, with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let address = if let Some(rest) = text.strip_prefix('[') {
        match rest.strip_suffix(']') {
            Some(address) => address.parse::<Ipv6Addr>().ok()?.into(),
            None => text.parse::<SocketAddr>().ok()?.ip(),
        }
    } else if let Some((address, port)) = text.split_once(':').filter(|(_, port)| !port.contains(':')) {
        port.parse::<u16>().ok()?;
        address.parse::<Ipv4Addr>().ok()?.into()
    } else {
        text.parse::<IpAddr>().ok()?
    };
    Some(address.to_canonical())
}

/// A text in which a quotation is not closed has no element that counts.
fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(&text[begin..at]);
                begin = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    if is_quoted {
        return vec![""];
    }
    parts.push(&text[begin..]);
    parts
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(hops: Vec<Option<IpAddr>>) -> Vec<String> {
        hops.iter().map(|hop| hop.map_or("-".to_owned(), |hop| hop.to_string())).collect()
    }

    #[test]
    fn forwarded_is_read_as_the_rfc_has_it() {
        for (line, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["2001:db8:cafe::17"]),
            ("for=192.0.2.43, for=198.51.100.17", &["192.0.2.43", "198.51.100.17"]),
            ("for=\"192.0.2.43:80\" , FOR=192.0.2.1", &["192.0.2.43", "192.0.2.1"]),
            ("for=_hidden, for=unknown, proto=http", &["-", "-", "-"]),
            ("for=1.2.3.4;for=5.6.7.8", &["-"]),
            // Who quotes could otherwise hide what a proxy adds behind a comma.
            ("for=\"1.2.3.4, for=192.0.2.1", &["-"]),
            ("by=\"a,b\\\",c\";for=192.0.2.1", &["192.0.2.1"]),
            ("for=\"192.0.2.1", &["-"]),
            ("", &["-"]),
        ] {
            assert_eq!(shown(forwarded([line.as_bytes()].into_iter())), expected, "{line}");
        }
    }

    #[test]
    fn x_forwarded_for_is_a_list_of_addresses() {
        for (line, expected) in [
            ("192.0.2.1", &["192.0.2.1"][..]),
            (" 192.0.2.1 ,\t2001:db8::1", &["192.0.2.1", "2001:db8::1"]),
            ("192.0.2.1:8080, [2001:db8::1]:80, [2001:db8::1]", &["192.0.2.1", "2001:db8::1", "2001:db8::1"]),
            ("::ffff:192.0.2.1", &["192.0.2.1"]),
            ("192.0.2.1:, 192.0.2, a, , 192.0.2.1:99999, [1.2.3.4]", &["-", "-", "-", "-", "-", "-"]),
        ] {
            assert_eq!(shown(x_forwarded_for([line.as_bytes()].into_iter())), expected, "{line}");
        }
        let many = "1.1.1.1,".repeat(1_000) + "2.2.2.2";
        let hops = x_forwarded_for([many.as_bytes()].into_iter());
        assert_eq!((hops.len(), hops.last().unwrap().unwrap().to_string().as_str()), (MOST_HOPS, "2.2.2.2"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_what_a_proxy_appends_is_the_last_hop(
            sent in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let own = b"for=192.0.2.1".as_slice();
            let hops = forwarded([&sent[..], own].into_iter());
            prop_assert_eq!(hops.last().unwrap().unwrap().to_string(), "192.0.2.1");
            let hops = x_forwarded_for([&sent[..], b"192.0.2.1"].into_iter());
            prop_assert_eq!(hops.last().unwrap().unwrap().to_string(), "192.0.2.1");
        }
    }
}
