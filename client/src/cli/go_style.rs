use std::{collections::HashSet, ffi::OsString};

use clap::Command;

/// Adds the second dash to long flags that have one dash, as in Go programs and in elastic-etcd's command lines
/// (`-data-dir=/var/lib/etcd`). Only the command's own long flags are changed.
pub fn with_two_dashes(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let known = long_flags(command);
    let mut after_double_dash = false;
    arguments
        .into_iter()
        .map(|argument| {
            after_double_dash |= argument == "--";
            let name = argument.to_str().and_then(|text| text.strip_prefix('-')).map(name_of);
            match name {
                // One letter is a short flag.
                Some(name) if !after_double_dash && name.len() > 1 && known.contains(name) => {
                    let mut dashed = OsString::from("-");
                    dashed.push(argument);
                    dashed
                }
                _ => argument,
            }
        })
        .collect()
}

fn name_of(flag: &str) -> &str {
    flag.split_once('=').map_or(flag, |(name, _)| name)
}

fn long_flags(command: &Command) -> HashSet<String> {
    let own = command.get_arguments().flat_map(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long().into_iter().chain(aliases).map(str::to_owned).collect::<Vec<_>>()
    });
    own.chain(command.get_subcommands().flat_map(long_flags)).collect()
}
