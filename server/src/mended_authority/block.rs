//! Blocks of HTTP/2 headers, as far as it takes to find an authority in one (RFC 7541).

use std::ops::Range;

/// The number of `:authority` in the table of names that everybody knows.
const AUTHORITY: usize = 1;

/// How values begin that are to be mended, and how they begin then: in Huffman's code and as they are, each with the bits
/// of the last byte that belong to it.
///
/// The other end remembers the value, and counts how long it is. So it keeps its length, and its length in Huffman's
/// code, where `:` has as many bits as `B`, and `/` as many as `-`.
const IN_HUFFMAN_CODE: [(&[u8], &[u8], u8); 2] = [
    (&[0x9d, 0x29, 0xae, 0xe3, 0x0c, 0x00], &[0x9d, 0x29, 0xae, 0xea, 0xcb, 0x00], 0x80),
    (&[0x9d, 0x29, 0xad, 0x17, 0x18, 0x60], &[0x9d, 0x29, 0xad, 0x17, 0x56, 0x58], 0xfc),
];
const AS_THEY_ARE: [(&[u8], &[u8], u8); 2] = [(b"http://", b"httpB--", 0xff), (b"https://", b"httpsB--", 0xff)];

/// Mends the authority of a block if it is a URL.
pub fn mend(block: &mut [u8]) {
    let Some((value, is_in_code)) = find_authority(block) else { return };
    let value = &mut block[value];
    let beginnings = if is_in_code { IN_HUFFMAN_CODE } else { AS_THEY_ARE };
    for (from, to, last_bits) in beginnings {
        let last = to.len() - 1;
        let ends_so = |byte: &u8| byte & last_bits == from[last];
        if value.starts_with(&from[..last]) && value.get(last).is_some_and(ends_so) {
            value[..last].copy_from_slice(&to[..last]);
            value[last] = to[last] | (value[last] & !last_bits);
            return;
        }
    }
}

/// Where the value of a new authority stands, and whether it is in Huffman's code. One that was sent before is only
/// referred to, and was mended then.
fn find_authority(block: &[u8]) -> Option<(Range<usize>, bool)> {
    let mut reader = Reader { block, at: 0 };
    while let Some(first) = block.get(reader.at) {
        let (bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let name = reader.integer(bits)?;
        if !is_literal {
            continue;
        }
        if name == 0 {
            reader.text()?;
        }
        let value = reader.text()?;
        if name == AUTHORITY {
            return Some(value);
        }
    }
    None
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// A number that begins in the last bits of a byte (5.1).
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let mask = (1 << bits) - 1;
        let mut number = usize::from(self.byte()?) & mask;
        if number < mask {
            return Some(number);
        }
        // Three further bytes are more than any length here takes.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Where a text stands, and whether it is in Huffman's code (5.2).
    fn text(&mut self) -> Option<(Range<usize>, bool)> {
        let is_in_code = self.block.get(self.at)? & 0x80 != 0;
        let length = self.integer(7)?;
        let text = self.at..self.at + length;
        self.at = text.end;
        (text.end <= self.block.len()).then_some((text, is_in_code))
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Huffman's code, as far as authorities need it (RFC 7541, appendix B).
    const CODE: [(char, &str); 19] = [
        ('-', "010110"),
        ('.', "010111"),
        ('/', "011000"),
        ('0', "00000"),
        ('1', "00001"),
        ('2', "00010"),
        ('3', "011001"),
        ('7', "011101"),
        ('8', "011110"),
        ('9', "011111"),
        (':', "1011100"),
        ('B', "1011101"),
        ('h', "100111"),
        ('p', "101011"),
        ('s', "01000"),
        ('t', "01001"),
        ('[', "1111111111011"),
        (']', "1111111111100"),
        ('a', "00011"),
    ];

    fn in_code(text: &str) -> Vec<u8> {
        let bits: String = text.chars().map(|one| CODE.iter().find(|(other, _)| *other == one).unwrap().1).collect();
        let bits = bits.into_bytes();
        let byte = |bits: &[u8]| (0..8).fold(0, |byte, at| byte << 1 | u8::from(bits.get(at) != Some(&b'0')));
        bits.chunks(8).map(byte).collect()
    }

    fn literal(first: u8, value: &[u8], huffman: bool) -> Vec<u8> {
        [&[first, value.len() as u8 | if huffman { 0x80 } else { 0 }], value].concat()
    }

    fn mended(mut block: Vec<u8>) -> Vec<u8> {
        mend(&mut block);
        block
    }

    #[test]
    fn a_url_becomes_an_authority_of_the_same_length_that_is_one() {
        for (url, authority) in [
            ("http://127.0.0.1:8087", "httpB--127.0.0.1:8087"),
            ("https://127.0.0.1:8087", "httpsB--127.0.0.1:8087"),
            ("http://[::1]:2379", "httpB--[::1]:2379"),
            ("http://a", "httpB--a"),
        ] {
            assert!(authority.parse::<axum::http::uri::Authority>().is_ok(), "{authority}");
            for first in [0x41, 0x01, 0x11] {
                let (url, authority) = (literal(first, &in_code(url), true), literal(first, &in_code(authority), true));
                assert_eq!(mended(url), authority);
            }
            let (url, authority) = (url.as_bytes(), authority.as_bytes());
            assert_eq!(mended(literal(0x41, url, false)), literal(0x41, authority, false));
        }
    }

    #[test]
    fn what_stands_before_the_authority_is_passed_over() {
        // :method POST and :scheme http by number, a path of more than 127 bytes, a name that is new, a table's new size.
        let path = [&[0x45, 0x7f, 0x49][..], &[b'x'; 200]].concat();
        let new_name = b"\x40\x05x-urlhttp://";
        let before = [&[0x83, 0x86, 0x3f, 0xe1, 0x1f][..], &path, b"\x00\x01x\x07http://"].concat();
        let block = |value: &[u8]| [&before, &literal(0x41, value, false)[..]].concat();
        assert_eq!(mended(block(b"http://a")), block(b"httpB--a"));
        assert_eq!(mended(new_name.to_vec()), new_name);
    }

    #[test]
    fn other_values_and_other_headers_stay_as_they_are() {
        for block in [
            literal(0x41, b"127.0.0.1:8087", false),
            literal(0x41, &in_code("127.0.0.1:8087"), true),
            literal(0x41, &in_code("http:8087"), true),
            literal(0x44, b"http://a", false),
            b"\x40\x03foo\x0aA\x07http://a".to_vec(),
        ] {
            assert_eq!(mended(block.clone()), block);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_block_panics_or_changes_its_length(block: Vec<u8>) {
            proptest::prop_assert_eq!(mended(block.clone()).len(), block.len());
        }
    }
}
