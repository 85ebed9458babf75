use std::{collections::HashSet, ffi::OsString};

use clap::Command;

/// Gives long flags that are written with one dash, as Go programs take them and as elastic-etcd's users write them
/// (`-data-dir=/var/lib/etcd`), their second dash. What is no long flag of the command stays as it is.
pub fn with_two_dashes(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let known = long_flags(command);
    let mut is_over = false;
    arguments
        .into_iter()
        .map(|argument| {
            is_over |= argument == "--";
            let name = argument.to_str().and_then(|text| text.strip_prefix('-')).map(name_of);
            match name {
                // One letter is a short flag, which has one dash anyway.
                Some(name) if !is_over && name.len() > 1 && known.contains(name) => {
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
