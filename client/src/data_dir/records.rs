//! The records of a WAL segment after each other, with what they tell about the Raft log.

use std::io::{self, BufRead, Read};

use prost::Message;

use super::segment::{CRC_TYPE, LENGTH_SIZE, METADATA_TYPE, Record, decode_length};

/// `server/storage/wal/wal.go:EntryType`.
const ENTRY_TYPE: i64 = 2;

/// `server/storage/wal/wal.go:StateType`.
const STATE_TYPE: i64 = 3;

/// `server/storage/wal/wal.go:SnapshotType`.
const SNAPSHOT_TYPE: i64 = 5;

/// A torn write leaves whole sectors of zeros (`server/storage/wal/decoder.go:minSectorSize`).
const SECTOR: usize = 512;

/// An entry of `raftpb.Entry.type` that is no change of the configuration.
const NORMAL: i32 = 0;

/// The term of the entries that a founder writes before any leader exists
/// (`raft/bootstrap.go:Bootstrap`). The first leader has a higher one.
const FOUNDING_TERM: u64 = 1;

/// What the records of one segment tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The index of the last entry or snapshot; `None` if there is no entry. An entry replaces those before it with the same index or a
    /// higher one.
    pub last_index: Option<u64>,
    /// Whether an entry is of a leader, or a snapshot replaces entries that may be.
    pub led: bool,
    /// Whether the end is a record that was not written completely. etcd cuts it off
    /// (`server/storage/wal/repair.go:Repair`).
    pub torn: bool,
}

/// `raftpb.Entry`, without its data.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(int32, optional, tag = "1")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "2")]
    term: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    index: Option<u64>,
}

/// `walpb.Snapshot`, without the configuration.
#[derive(Clone, PartialEq, Message)]
struct Snapshot {
    #[prost(uint64, optional, tag = "1")]
    index: Option<u64>,
}

/// Reads the records of a segment of this length up to its end; `None` if one of them is damaged.
pub fn summarize(segment: impl Read, length: u64) -> io::Result<Option<Summary>> {
    let mut segment = io::BufReader::with_capacity(1 << 16, segment);
    let mut summary = Summary { last_index: None, led: false, torn: false };
    let (mut offset, mut checksum, mut bytes) = (0_u64, 0_u32, Vec::new());
    loop {
        let Some(field) = read_length(&mut segment)? else { return Ok(Some(summary)) };
        let (size, padding) = decode_length(field);
        let end = size.checked_add((LENGTH_SIZE + padding) as u64).and_then(|size| size.checked_add(offset));
        let Some(end) = end.filter(|end| *end <= length) else {
            return Ok(Some(Summary { torn: true, ..summary }));
        };
        bytes.resize(size as usize + padding, 0);
        segment.read_exact(&mut bytes)?;
        let record = Record::decode(&bytes[..size as usize]).ok().filter(|record| {
            if record.r#type() == CRC_TYPE {
                // It begins a segment, and continues the checksum of the segment before.
                checksum = record.crc();
                return true;
            }
            checksum = crc32c::crc32c_append(checksum, record.data());
            checksum == record.crc()
        });
        let Some(record) = record else {
            let torn = is_torn(&bytes, offset as usize + LENGTH_SIZE);
            return Ok(torn.then_some(Summary { torn, ..summary }));
        };
        if summary.add(&record).is_none() {
            return Ok(None);
        }
        offset = end;
    }
}

impl Summary {
    /// Adds a record; `None` if it is of no known type, or its data is damaged.
    fn add(&mut self, record: &Record) -> Option<()> {
        match record.r#type() {
            METADATA_TYPE | STATE_TYPE | CRC_TYPE => {}
            ENTRY_TYPE => {
                let entry = Entry::decode(record.data()).ok()?;
                self.last_index = Some(entry.index());
                self.led |= entry.term() > FOUNDING_TERM || entry.r#type() == NORMAL;
            }
            // A WAL begins with a snapshot of index 0. `etcdutl snapshot restore` writes one with a higher index behind
            // entries that look like those of a founder.
            SNAPSHOT_TYPE => {
                let index = Snapshot::decode(record.data()).ok()?.index();
                if index > 0 {
                    self.led = true;
                    // A member that was far behind has got a snapshot of the leader instead of the entries.
                    self.last_index = self.last_index.max(Some(index));
                }
            }
            _ => return None,
        }
        Some(())
    }
}

/// The length field of a record; `None` at the end of the file, or of what was written of it.
fn read_length(segment: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut field = [0; LENGTH_SIZE];
    match segment.read_exact(&mut field) {
        Ok(()) => Ok(Some(u64::from_le_bytes(field)).filter(|field| *field != 0)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a part of these bytes that fills a sector, or as much of it as they cover, is zero
/// (`server/storage/wal/decoder.go:isTornEntry`).
fn is_torn(bytes: &[u8], offset: usize) -> bool {
    let (first, rest) = bytes.split_at(bytes.len().min(SECTOR - offset % SECTOR));
    std::iter::once(first).chain(rest.chunks(SECTOR)).any(|chunk| chunk.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::{super::segment::tests::frame, *};

    /// Writes records with their checksums.
    #[derive(Default)]
    struct Segment {
        bytes: Vec<u8>,
        checksum: u32,
    }

    impl Segment {
        /// The beginning of a first segment, with the snapshot that etcd writes there.
        fn first() -> Self {
            let mut segment = Self { bytes: frame(CRC_TYPE, 0, None), checksum: 0 };
            segment.add(METADATA_TYPE, b"any".to_vec());
            segment.add(SNAPSHOT_TYPE, Snapshot { index: Some(0) }.encode_to_vec());
            segment
        }

        fn add(&mut self, kind: i64, data: Vec<u8>) {
            self.checksum = crc32c::crc32c_append(self.checksum, &data);
            self.bytes.extend(frame(kind, self.checksum, Some(data)));
        }

        fn entry(mut self, kind: i32, term: u64, index: u64) -> Self {
            let entry = Entry { r#type: Some(kind), term: Some(term), index: Some(index) };
            self.add(ENTRY_TYPE, entry.encode_to_vec());
            self
        }

        fn founders(self) -> Self {
            self.entry(1, 1, 1).entry(1, 1, 2).entry(1, 1, 3)
        }

        fn summary(&self) -> Option<Summary> {
            let mut bytes = self.bytes.clone();
            bytes.resize(bytes.len() + 2 * SECTOR, 0);
            summarize(&bytes[..], bytes.len() as u64).unwrap()
        }
    }

    fn unled(last_index: Option<u64>) -> Option<Summary> {
        Some(Summary { last_index, led: false, torn: false })
    }

    #[test]
    fn entries_of_the_founding_are_of_no_leader() {
        assert_eq!(Segment::first().summary(), unled(None));
        assert_eq!(Segment::first().founders().summary(), unled(Some(3)));
    }

    #[test]
    fn an_entry_of_a_later_term_or_of_another_kind_is_of_a_leader() {
        for (kind, term) in [(0, 2), (0, 1), (1, 2), (2, 7)] {
            let summary = Segment::first().founders().entry(kind, term, 4).summary();
            assert_eq!(summary, Some(Summary { last_index: Some(4), led: true, torn: false }));
        }
    }

    #[test]
    fn a_snapshot_of_entries_counts_as_led() {
        let mut segment = Segment::first().founders();
        segment.add(SNAPSHOT_TYPE, Snapshot { index: Some(3) }.encode_to_vec());
        assert_eq!(segment.summary(), Some(Summary { last_index: Some(3), led: true, torn: false }));
    }

    #[test]
    fn a_snapshot_of_the_leader_takes_the_place_of_the_entries_before_it() {
        let mut segment = Segment::first().entry(0, 2, 11);
        segment.add(SNAPSHOT_TYPE, Snapshot { index: Some(251) }.encode_to_vec());
        assert_eq!(segment.summary().unwrap().last_index, Some(251));
    }

    #[test]
    fn a_later_entry_replaces_those_with_higher_indexes() {
        let segment = Segment::first().entry(0, 2, 4).entry(0, 2, 5).entry(0, 3, 4);
        assert_eq!(segment.summary().unwrap().last_index, Some(4));
    }

    #[test]
    fn a_torn_end_is_left_out_and_a_damaged_record_makes_all_unknown() {
        let mut segment = Segment::first().founders();
        let intact = segment.bytes.len();
        segment.add(ENTRY_TYPE, Entry { index: Some(4), ..Entry::default() }.encode_to_vec());
        let torn = Some(Summary { last_index: Some(3), led: false, torn: true });
        // The file ends within the record.
        let cut = &segment.bytes[..intact + LENGTH_SIZE + 2];
        assert_eq!(summarize(cut, cut.len() as u64).unwrap(), torn);
        // Only the length was written.
        let mut zeroed = segment.bytes.clone();
        zeroed[intact + LENGTH_SIZE..].fill(0);
        assert_eq!(summarize(&zeroed[..], zeroed.len() as u64).unwrap(), torn);
        // A flipped bit.
        segment.bytes[intact - 12] ^= 1;
        assert_eq!(segment.summary(), None);
    }

    #[test]
    fn no_length_makes_the_reader_allocate_more_than_the_segment() {
        let mut bytes = Segment::first().bytes;
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(summarize(&bytes[..], bytes.len() as u64).unwrap().unwrap().torn);
    }
}
