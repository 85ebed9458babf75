//! Reads which member a WAL belongs to, and how far it goes.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use convene_lifecycle::Identity;

use super::{
    Contents, DataDirError,
    files::{self, ReadError},
    records::{self, Summary},
    segment::{self, HEAD_SIZE},
};

/// Reads the member of the WAL in a directory.
///
/// There is a WAL if any name ends in `.wal`, as for etcd in all versions from 3.4 to 3.7
/// (`server/storage/wal/util.go:Exist`). A directory `member/wal.tmp`, in which etcd prepares a WAL
/// (`server/storage/wal/wal.go:Create`), is not a WAL, and neither is a file `0.tmp`, in which etcd prepares the next segment
/// (`file_pipeline.go:alloc`).
pub fn read(directory: &Path) -> Result<Contents, DataDirError> {
    match identity(directory) {
        Ok(Some(identity)) => Ok(Contents::Member(identity)),
        Ok(None) => Ok(Contents::Fresh),
        Err(ReadError::Damaged(found)) => Ok(Contents::Unreadable { found }),
        Err(ReadError::Io(error)) => Err(error),
    }
}

/// Whether the directory has a WAL, or is not a directory.
pub fn exists(directory: &Path) -> Result<bool, DataDirError> {
    match files::names(directory) {
        Ok(names) => Ok(names.iter().any(|name| is_wal(name))),
        Err(ReadError::Damaged(_)) => Ok(true),
        Err(ReadError::Io(error)) => Err(error),
    }
}

fn identity(directory: &Path) -> Result<Option<Identity>, ReadError> {
    let names = files::names(directory)?;
    let Some(any) = names.iter().find(|name| is_wal(name)) else { return Ok(None) };
    let segments = in_order(names.iter().filter_map(|name| Segment::from_name(directory, name)).collect())?;
    // etcd ignores names of another form (`util.go:checkWALNames`), and then finds no WAL to open.
    let Some((first, further)) = segments.split_first() else {
        return Err(ReadError::Damaged(format!(
            "{} does not have the name of a WAL segment",
            directory.join(any).display()
        )));
    };
    let identity = first.identity()?;
    for segment in further {
        check_same(first, identity, segment, segment.identity()?)?;
    }
    Ok(Some(identity))
}

/// How far a WAL goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The index of the last entry. A record that was not written completely does not count.
    pub last_index: u64,
    /// Whether the WAL has all entries since the founding, and none of a leader.
    pub never_led: bool,
}

/// Reads the last segment of a WAL; `None` if it is damaged.
///
/// The last segment suffices: its name has the index of its first entry, and etcd begins the second segment only when the
/// first is full, which takes a leader.
pub fn end(directory: &Path) -> Result<Option<End>, ReadError> {
    let names = files::names(directory)?;
    let segments = in_order(names.iter().filter_map(|name| Segment::from_name(directory, name)).collect())?;
    let Some(last) = segments.last() else { return Ok(None) };
    let Some(Summary { last_index, led, torn }) = last.summary()? else { return Ok(None) };
    Ok(Some(End {
        last_index: last_index.unwrap_or(last.first_index.saturating_sub(1)),
        // A torn record may be of a leader.
        never_led: last.sequence == 0 && !led && !torn,
    }))
}

fn is_wal(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".wal")
}

/// Checks that no segment is missing between two others (`server/storage/wal/util.go:isValidSeq`).
///
/// etcd accepts a gap after segment 0, and then finds that the checksums don't match. It does not need the segments before
/// its last snapshot. It purges them oldest first (`purge.go:purgeFile`), so valid gaps are at the beginning only.
fn in_order(mut segments: Vec<Segment>) -> Result<Vec<Segment>, ReadError> {
    segments.sort_by(|a, b| (a.sequence, &a.path).cmp(&(b.sequence, &b.path)));
    let mut pairs = segments.iter().zip(segments.iter().skip(1));
    match pairs.find(|(before, after)| before.sequence.checked_add(1) != Some(after.sequence)) {
        None => Ok(segments),
        Some((before, after)) => Err(ReadError::Damaged(format!(
            "{} is followed by {}: their numbers are not consecutive",
            before.path.display(),
            after.path.display()
        ))),
    }
}

/// Checks that two segments belong to the same member. etcd calls this a metadata conflict
/// (`server/storage/wal/wal.go:ReadAll`).
fn check_same(first: &Segment, expected: Identity, segment: &Segment, found: Identity) -> Result<(), ReadError> {
    if found == expected {
        return Ok(());
    }
    Err(ReadError::Damaged(format!(
        "{} belongs to member {} in cluster {}, but {} belongs to member {} in cluster {}",
        first.path.display(),
        expected.member,
        expected.cluster,
        segment.path.display(),
        found.member,
        found.cluster
    )))
}

/// A file of a WAL.
struct Segment {
    sequence: u64,
    /// The index of its first Raft entry, if it has one. 0 for the first segment.
    first_index: u64,
    path: PathBuf,
}

impl Segment {
    /// The segment with this name, if the name has the form that etcd uses: two numbers of 16 hexadecimal digits, the
    /// sequence of the segment and the index of its first Raft entry (`server/storage/wal/util.go:walName`).
    fn from_name(directory: &Path, name: &OsStr) -> Option<Self> {
        let (sequence, index) = name.to_str()?.strip_suffix(".wal")?.split_once('-')?;
        let (sequence, first_index) = (files::hexadecimal(sequence)?, files::hexadecimal(index)?);
        Some(Self { sequence, first_index, path: directory.join(name) })
    }

    /// The member of this segment, from its head. A damaged end is for etcd to repair
    /// (`server/storage/wal/repair.go:Repair`). A crash can't damage the head, because etcd syncs a segment before it
    /// renames it (`wal.go:cut`).
    fn identity(&self) -> Result<Identity, ReadError> {
        segment::identity(&self.head()?).map_err(|error| ReadError::Damaged(format!("{} {error}", self.path.display())))
    }

    fn summary(&self) -> Result<Option<Summary>, ReadError> {
        let file = self.open()?;
        let read = file.metadata().and_then(|metadata| records::summarize(&file, metadata.len()));
        Ok(read.map_err(DataDirError::when("read", &self.path))?)
    }

    fn open(&self) -> Result<File, ReadError> {
        if !files::is_file(&self.path)? {
            return Err(ReadError::Damaged(format!("{} is not a file", self.path.display())));
        }
        Ok(File::open(&self.path).map_err(DataDirError::when("open", &self.path))?)
    }

    fn head(&self) -> Result<Vec<u8>, ReadError> {
        let mut head = Vec::with_capacity(HEAD_SIZE);
        self.open()?.take(HEAD_SIZE as u64).read_to_end(&mut head).map_err(DataDirError::when("read", &self.path))?;
        Ok(head)
    }
}
