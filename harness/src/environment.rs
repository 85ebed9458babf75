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

/// Gives a command the variables that were set for another one.
pub(crate) fn copy(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}
