use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::peers;

/// A file system in memory that can be filled.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it on a folder; `None`, with the reason printed, if nothing can be mounted here, which needs root.
    pub fn mount(folder: &Path, mib: u32) -> Option<Self> {
        let options = format!("size={mib}m,mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output().unwrap();
        if !mounted.status.success() {
            let error = String::from_utf8_lossy(&mounted.stderr);
            peers::skip(&format!("a small disk can't be mounted here: {}", error.trim()));
            return None;
        }
        Some(Self(folder.to_owned()))
    }

    /// Leaves no free space. Call it again if something was deleted since.
    pub fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    /// Frees the space again.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
