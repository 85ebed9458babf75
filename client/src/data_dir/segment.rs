//! The head of a WAL segment, which names the member and the cluster.
//!
//! etcd begins each segment with two records: the CRC of all segments before, and the metadata
//! (`server/storage/wal/wal.go:Create` and `cut`; the same from 3.4 to 3.7). A record is a length, then a
//! protobuf message, then zeros up to a multiple of eight bytes (`server/storage/wal/encoder.go:encodeFrameSize`).

use convene_lifecycle::{ClusterId, Identity, MemberId};
use prost::Message;
use thiserror::Error;

/// How many bytes of a segment to read. The two records take less than 80. The limit also bounds what a wrong length in
/// the file can cause.
pub const HEAD_SIZE: usize = 4096;

/// The size of the length of a record.
pub const LENGTH_SIZE: usize = size_of::<u64>();

/// `server/storage/wal/wal.go:MetadataType`.
pub const METADATA_TYPE: i64 = 1;

/// `server/storage/wal/wal.go:CrcType`.
pub const CRC_TYPE: i64 = 4;

/// Why the member cannot be determined from the head of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    #[error("is empty")]
    Empty,
    #[error("has zeros instead of a record at offset {offset}")]
    NoRecord { offset: usize },
    #[error("ends at offset {end}, within the record at offset {offset}")]
    CutOff { offset: usize, end: usize },
    #[error("has a record of {length} bytes at offset {offset}; etcd writes less than 40")]
    TooLong { offset: usize, length: u64 },
    #[error("has no valid record at offset {offset}")]
    Garbage { offset: usize },
    #[error("has a record of type {found} at offset {offset}; expected type {expected}")]
    WrongType { offset: usize, expected: i64, found: i64 },
    #[error("has a wrong checksum in the record at offset {offset}")]
    WrongChecksum { offset: usize },
    #[error("has metadata without a member ID and a cluster ID at offset {offset}")]
    NoIds { offset: usize },
}

/// `walpb.Record`.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    #[prost(int64, optional, tag = "1")]
    pub r#type: Option<i64>,
    #[prost(uint32, optional, tag = "2")]
    pub crc: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub data: Option<Vec<u8>>,
}

/// `etcdserverpb.Metadata`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Metadata {
    #[prost(uint64, optional, tag = "1")]
    node_id: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    cluster_id: Option<u64>,
}

/// The member and the cluster of a segment, from its first [`HEAD_SIZE`] bytes, or from all if it is shorter.
pub fn identity(head: &[u8]) -> Result<Identity, HeadError> {
    if head.is_empty() {
        return Err(HeadError::Empty);
    }
    let (crc, metadata_offset) = read_record(head, 0, CRC_TYPE)?;
    // A checksum covers all data of the WAL before it. It starts with 0 in the first segment, and with the last checksum
    // of the segment before in the others (`server/storage/wal/decoder.go:UpdateCRC`).
    let checksum_so_far = crc.crc();
    let (metadata, _) = read_record(head, metadata_offset, METADATA_TYPE)?;
    if crc32c::crc32c_append(checksum_so_far, metadata.data()) != metadata.crc() {
        return Err(HeadError::WrongChecksum { offset: metadata_offset });
    }
    ids(metadata.data(), metadata_offset)
}

fn ids(metadata: &[u8], offset: usize) -> Result<Identity, HeadError> {
    let metadata = Metadata::decode(metadata).map_err(|_| HeadError::Garbage { offset })?;
    match (metadata.node_id(), metadata.cluster_id()) {
        (0, _) | (_, 0) => Err(HeadError::NoIds { offset }),
        (member, cluster) => Ok(Identity { member: MemberId(member), cluster: ClusterId(cluster) }),
    }
}

/// The record at the offset, which must have this type, and the offset of the next record.
fn read_record(head: &[u8], offset: usize, expected: i64) -> Result<(Record, usize), HeadError> {
    let cut_off = || HeadError::CutOff { offset, end: head.len() };
    let rest = head.get(offset..).ok_or_else(cut_off)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
    let (length, padding) = match u64::from_le_bytes(*length) {
        0 => return Err(HeadError::NoRecord { offset }),
        field => decode_length(field),
    };
    if length > (HEAD_SIZE / 2) as u64 {
        return Err(HeadError::TooLong { offset, length });
    }
    let length = length as usize;
    let message = rest.get(..length + padding).ok_or_else(cut_off)?;
    let record = Record::decode(&message[..length]).map_err(|_| HeadError::Garbage { offset })?;
    match record.r#type() {
        found if found == expected => Ok((record, offset + LENGTH_SIZE + length + padding)),
        found => Err(HeadError::WrongType { offset, expected, found }),
    }
}

/// The length of a record and of its padding (`server/storage/wal/decoder.go:decodeFrameSize`): the length is in the lower
/// 56 bits. If the highest bit is set, the lower three bits of the highest byte are the length of the padding.
pub fn decode_length(field: u64) -> (u64, usize) {
    let is_padded = field >> 63 == 1;
    (field & ((1 << 56) - 1), if is_padded { (field >> 56 & 7) as usize } else { 0 })
}

#[cfg(test)]
pub mod tests;
