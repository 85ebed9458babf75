//! Another user of the machine, without rights.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Output},
};

use crate::peers;

/// A command that runs a shell script as the user nobody, with a path as `$1`. `None`, with the reason printed, if the tests run as a
/// user that may not do so.
pub fn as_nobody(script: &str, path: &Path) -> Option<Command> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        peers::skip("only root can run a command as another user");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script, "sh"]).arg(path);
    Some(command)
}

/// Runs the script to its end.
pub fn run_as_nobody(script: &str, path: &Path) -> Option<Output> {
    Some(as_nobody(script, path)?.output().unwrap())
}
