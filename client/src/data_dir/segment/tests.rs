use proptest::prelude::*;

use super::*;

const IDENTITY: Identity =
    Identity { member: MemberId(0x8e9e_05c5_2164_694d), cluster: ClusterId(0xcdf8_1819_4e3a_8c32) };

/// The head of a segment as etcd writes it. The checksum is that of the segments before.
pub fn head(checksum: u32, identity: Identity) -> Vec<u8> {
    let metadata = Metadata { node_id: Some(identity.member.0), cluster_id: Some(identity.cluster.0) };
    head_with(checksum, &metadata.encode_to_vec())
}

fn head_with(checksum: u32, metadata: &[u8]) -> Vec<u8> {
    let crc = frame(CRC_TYPE, checksum, None);
    let metadata = frame(METADATA_TYPE, crc32c::crc32c_append(checksum, metadata), Some(metadata.to_vec()));
    let preallocated = [0; 512];
    [&crc, &metadata, &preallocated[..]].concat()
}

pub fn frame(kind: i64, crc: u32, data: Option<Vec<u8>>) -> Vec<u8> {
    let message = Record { r#type: Some(kind), crc: Some(crc), data }.encode_to_vec();
    let padding = (8 - message.len() % 8) % 8;
    let flags = if padding == 0 { 0 } else { (0x80 | padding as u64) << 56 };
    [&(message.len() as u64 | flags).to_le_bytes(), &message[..], &[0; 8][..padding]].concat()
}

#[test]
fn the_first_segment_and_later_ones_name_their_member() {
    for checksum in [0, 1, 0xdead_beef, u32::MAX] {
        assert_eq!(identity(&head(checksum, IDENTITY)), Ok(IDENTITY));
    }
}

#[test]
fn the_checksum_continues_from_the_segment_before() {
    let (first, later) = (head(0, IDENTITY), head(7, IDENTITY));
    let crc_size = frame(CRC_TYPE, 7, None).len();
    let mixed = [&later[..crc_size], &first[frame(CRC_TYPE, 0, None).len()..]].concat();
    assert_eq!(identity(&mixed), Err(HeadError::WrongChecksum { offset: crc_size }));
}

#[test]
fn records_in_another_order_are_not_a_head() {
    let head = head(0, IDENTITY);
    let crc_size = frame(CRC_TYPE, 0, None).len();
    assert_eq!(
        identity(&head[crc_size..]),
        Err(HeadError::WrongType { offset: 0, expected: CRC_TYPE, found: METADATA_TYPE })
    );
    assert_eq!(
        identity(&[&head[..crc_size], &head[..]].concat()),
        Err(HeadError::WrongType { offset: crc_size, expected: METADATA_TYPE, found: CRC_TYPE })
    );
}

#[test]
fn zeros_and_empty_files_have_no_member() {
    assert_eq!(identity(&[]), Err(HeadError::Empty));
    assert_eq!(identity(&[0; 4096]), Err(HeadError::NoRecord { offset: 0 }));
}

#[test]
fn metadata_without_ids_has_no_member() {
    let no_member = Identity { member: MemberId(0), ..IDENTITY };
    let no_cluster = Identity { cluster: ClusterId(0), ..IDENTITY };
    for head in [head(0, no_member), head(0, no_cluster), head_with(0, &[])] {
        assert!(matches!(identity(&head), Err(HeadError::NoIds { .. })));
    }
}

#[test]
fn an_absurd_length_is_refused_before_reading() {
    for length in [HEAD_SIZE as u64, 10 << 20, (1 << 56) - 1] {
        let head = [&length.to_le_bytes()[..], &[1; HEAD_SIZE]].concat();
        assert_eq!(identity(&head), Err(HeadError::TooLong { offset: 0, length }));
    }
    assert!(identity(&[0xff; HEAD_SIZE]).is_err());
}

proptest! {
    #[test]
    fn garbage_has_no_member(garbage in proptest::collection::vec(any::<u8>(), 0..HEAD_SIZE)) {
        prop_assert!(identity(&garbage).is_err());
    }

    #[test]
    fn a_damaged_head_never_names_another_member(
        checksum: u32,
        damages in proptest::collection::vec((0_usize..100, any::<u8>()), 1..4),
        length in 0_usize..600,
    ) {
        let mut head = head(checksum, IDENTITY);
        for (offset, byte) in damages {
            head[offset] = byte;
        }
        head.truncate(length);
        if let Ok(found) = identity(&head) {
            prop_assert_eq!(found, IDENTITY);
        }
    }
}
