//! Other users of the machine neither read the database nor keep the server from using it.

use std::{
    fs::{self, File, Metadata, Permissions},
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::OpenError;

/// What is beside a SQLite file, and the file itself.
const ENDINGS: [&str; 7] = ["", LOCK, "-wal", "-shm", "-journal", ".generation", ".generation.tmp"];

/// The file with the lock: who can open it can hold the lock.
const LOCK: &str = "-lock";

/// Refuses files that another user has put where everybody may write, such as in `/tmp`: that user could read the database, or hold
/// its lock. Takes the rights of all other users away from files of this user that have them, such as those of an older version.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    // Who owns a symbolic link decides where it leads.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let files = ENDINGS.iter().map(|ending| {
        let mut file = target.clone().into_os_string();
        file.push(ending);
        PathBuf::from(file)
    });
    // What can't be looked at can't be opened either, and that error is reported then.
    let looked_at = |file: PathBuf| fs::symlink_metadata(&file).ok().map(|about| (file, about));
    let found: Vec<_> = [path.to_owned()].into_iter().chain(files).filter_map(looked_at).collect();
    for (file, about) in &found {
        if is_of_another_user(about) && may_everybody_write_beside(file) {
            return Err(OpenError::OfAnotherUser { file: file.clone(), uid: about.uid() });
        }
    }
    if is_database(&target) {
        found.iter().for_each(|(file, about)| close(file, about));
    }
    Ok(())
}

/// Whether a file is a SQLite database, or will be one. The rights of any other file, which a mistake in --database-url names, stay
/// as they are.
fn is_database(path: &Path) -> bool {
    const BEGINNING: &[u8] = b"SQLite format 3\0";
    // Another one, such as a named pipe, might never be opened.
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return false;
    }
    let mut found = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut found));
    read.is_ok() && (found.is_empty() || found == BEGINNING)
}

fn is_of_another_user(about: &Metadata) -> bool {
    ![0, rustix::process::geteuid().as_raw()].contains(&about.uid())
}

fn may_everybody_write_beside(file: &Path) -> bool {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::metadata(folder).is_ok_and(|folder| folder.mode() & 0o002 != 0)
}

fn close(file: &Path, about: &Metadata) {
    let mode = about.mode() & 0o7777;
    // An administrator may let a group read the database, for example to copy it.
    let others = if file.as_os_str().as_encoded_bytes().ends_with(LOCK.as_bytes()) { 0o077 } else { 0o007 };
    if !about.is_file() || mode & others == 0 {
        return;
    }
    match fs::set_permissions(file, Permissions::from_mode(mode & !others)) {
        Ok(()) => tracing::warn!(
            file = %file.display(),
            "other users of this machine could open the file; the server has removed their access"
        ),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "other users of this machine can open the file; run chmod go= for it");
        }
    }
}
