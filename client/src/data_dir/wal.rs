//! Finds out whose WAL there is in a directory.

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
    segment::{self, HEAD_SIZE},
};

/// Whose WAL the directory holds.
///
/// There is one if any name ends in `.wal`: that is what etcd asks in all versions from 3.4 to 3.7
/// (`server/storage/wal/util.go:Exist`). So a database without a WAL is none, nor is `member/wal.tmp`, in which
/// etcd prepares a WAL before it renames it (`server/storage/wal/wal.go:Create`), nor is `0.tmp`, in which it
/// prepares the next segment (`file_pipeline.go:alloc`).
pub fn read(directory: &Path) -> Result<Contents, DataDirError> {
    match identity(directory) {
        Ok(Some(identity)) => Ok(Contents::Member(identity)),
        Ok(None) => Ok(Contents::Fresh),
        Err(ReadError::Damaged(found)) => Ok(Contents::Unreadable { found }),
        Err(ReadError::Io(error)) => Err(error),
    }
}

/// Whether any name in the directory is a WAL's, or there is something that is no directory.
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
    let segments = in_order(names.iter().filter_map(|name| Segment::named(directory, name)).collect())?;
    // etcd ignores names that it would not give itself (`util.go:checkWALNames`), and then finds no WAL to open.
    let Some((first, further)) = segments.split_first() else {
        return Err(ReadError::Damaged(format!(
            "{} is not named as etcd names its WAL",
            directory.join(any).display()
        )));
    };
    let identity = first.identity()?;
    for segment in further {
        check_same(first, identity, segment, segment.identity()?)?;
    }
    Ok(Some(identity))
}

fn is_wal(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".wal")
}

/// Checks that no segment is missing between two others (`server/storage/wal/util.go:isValidSeq`).
///
/// etcd lets one pass between segment 0 and the next, and then finds that their checksums don't match. It also does not
/// ask for those that its last snapshot has made superfluous; but it removes them oldest first
/// (`purge.go:purgeFile`), so that they go missing from the beginning only.
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

/// Checks what etcd calls a metadata conflict (`server/storage/wal/wal.go:ReadAll`).
fn check_same(first: &Segment, expected: Identity, segment: &Segment, found: Identity) -> Result<(), ReadError> {
    if found == expected {
        return Ok(());
    }
    Err(ReadError::Damaged(format!(
        "{} is of member {} in cluster {}, but {} is of member {} in cluster {}",
        first.path.display(),
        expected.member,
        expected.cluster,
        segment.path.display(),
        found.member,
        found.cluster
    )))
}

/// One of the files that make up a WAL.
struct Segment {
    sequence: u64,
    path: PathBuf,
}

impl Segment {
    /// The segment with the name, if etcd would give it: two numbers of 16 hexadecimal digits, of which the first
    /// counts segments and the second is the index of the first Raft entry (`server/storage/wal/util.go:walName`).
    fn named(directory: &Path, name: &OsStr) -> Option<Self> {
        let (sequence, index) = name.to_str()?.strip_suffix(".wal")?.split_once('-')?;
        files::hexadecimal(index)?;
        Some(Self { sequence: files::hexadecimal(sequence)?, path: directory.join(name) })
    }

    /// Whose WAL this is a segment of, by its head alone: how it ends is for etcd to repair
    /// (`server/storage/wal/repair.go:Repair`). A head can't be torn by a crash, for etcd gives a segment its
    /// name after having synced it (`wal.go:cut`).
    fn identity(&self) -> Result<Identity, ReadError> {
        segment::identity(&self.head()?).map_err(|error| ReadError::Damaged(format!("{} {error}", self.path.display())))
    }

    fn head(&self) -> Result<Vec<u8>, ReadError> {
        if !files::is_file(&self.path)? {
            return Err(ReadError::Damaged(format!("{} is no file", self.path.display())));
        }
        let file = File::open(&self.path).map_err(DataDirError::when("open", &self.path))?;
        let mut head = Vec::with_capacity(HEAD_SIZE);
        file.take(HEAD_SIZE as u64).read_to_end(&mut head).map_err(DataDirError::when("read", &self.path))?;
        Ok(head)
    }
}
