use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, parser::ValueSource};

/// Flags whose value is a secret, and what to use instead: any user can read the command lines of all processes.
const SECRET_FLAGS: [(&str, &str); 2] = [
    (
        "discovery",
        "--discovery shows the cluster's token to every user of this machine; use --discovery-file or CONVENE_DISCOVERY",
    ),
    ("user", "--user shows the password of etcd to every user of this machine; use CONVENE_USER"),
];

/// Flags and variables with the path of a file that has a secret.
const SECRET_FILES: [&str; 6] =
    ["discovery_file", "join_token_file", "admin_token_file", "discovery_key", "key", "peer_key_file"];

/// The rights of those who are neither the owner nor in the group of a file, to read it.
const READ_BY_OTHERS: u32 = 0o004;

/// Warnings about secrets that others on this machine can read. Without the secrets. `is_from_file`: whether a flag has its value from a
/// file, although it is on the command line as it was parsed.
pub fn warnings(matches: &ArgMatches, is_from_file: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut command = Some(matches);
    while let Some(matches) = command {
        let is_on_command_line = |id: &str| {
            is_flag(matches, id) && matches.value_source(id) == Some(ValueSource::CommandLine) && !is_from_file(id)
        };
        let shown = SECRET_FLAGS.iter().filter(|(id, _)| is_on_command_line(id));
        warnings.extend(shown.map(|(_, warning)| (*warning).to_owned()));
        warnings.extend(SECRET_FILES.iter().filter_map(|id| file_warning(matches, id)));
        command = matches.subcommand().map(|(_, matches)| matches);
    }
    warnings
}

/// Whether the command has the flag. clap panics if one asks for another one.
fn is_flag(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok()
}

fn file_warning(matches: &ArgMatches, id: &str) -> Option<String> {
    let path = matches.try_get_raw(id).ok()??.next().map(PathBuf::from)?;
    is_read_by_others(&path).then(|| {
        format!(
            "{} has a secret, and every user of this machine can read it; run `chmod o= {}`",
            path.display(),
            path.display()
        )
    })
}

fn is_read_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & READ_BY_OTHERS != 0)
}
