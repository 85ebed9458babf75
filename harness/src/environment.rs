use std::{env, path::Path, process::Command};

/// A command that inherits none of the variables that set etcd, etcdctl or Convene, so that a test runs the same on
/// every machine.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let read = ["ETCD_", "ETCDCTL_", "CONVENE_"];
        if name.to_str().is_some_and(|name| read.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    command
}
