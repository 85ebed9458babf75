//! The reference of limits, docs/reference/limits.md, compared with what clap knows of the flags.

use std::collections::BTreeSet;

use clap::{Arg, Command};

use crate::section::{Section, code_spans};

/// Compares the flags that have a value of these kinds with the tables in these sections, and their defaults.
///
/// # Panics
///
/// If a flag is missing on either side, or its default in the table.
#[track_caller]
pub fn check<'a>(commands: impl IntoIterator<Item = &'a Command>, kinds: &[&str], sections: &[&str]) {
    let has_kind =
        |arg: &&Arg| arg.get_value_names().is_some_and(|names| names.iter().any(|name| kinds.contains(&name.as_str())));
    let flags: Vec<&Arg> = commands.into_iter().flat_map(Command::get_arguments).filter(has_kind).collect();
    let sections: Vec<_> = sections.iter().map(|heading| Section::read("docs/reference/limits.md", heading)).collect();
    let rows: Vec<_> = sections.iter().flat_map(|section| section.rows("limit")).collect();

    let documented: BTreeSet<&str> =
        rows.iter().flat_map(|row| code_spans(row[1])).filter_map(|span| span.strip_prefix("--")).collect();
    let existing: BTreeSet<&str> = flags.iter().filter_map(|flag| flag.get_long()).collect();
    assert_eq!(documented, existing, "the flags in docs/reference/limits.md, and those of the command");
    for flag in flags {
        let name = format!("`--{}`", flag.get_long().unwrap_or_default());
        for default in flag.get_default_values() {
            let default = default.to_str().expect("defaults are UTF-8");
            let has_default = |row: &&Vec<&str>| row[1..].concat().replace([' ', ','], "").contains(default);
            let row = rows.iter().filter(|row| row[1].contains(&name)).find(has_default);
            assert!(row.is_some(), "docs/reference/limits.md lacks the default of {name}: {default}");
        }
    }
}
