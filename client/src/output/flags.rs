//! `-o flags`: etcd's command line.

use std::ffi::OsString;

use super::{Action, CONFLICTING_VARIABLES, OutputError, Setting};

/// One line of flags, each a word that a shell leaves as it is where `$(…)` stands without quotes.
///
/// etcd refuses to start if a flag is given whose variable is set, be it to the same value or empty
/// (`pkg/flags/flag.go:verifyEnv`). So a flag is left out if its variable says the same. So is, where etcd goes on
/// from its data, one of those that it then ignores, whatever the variable says: a node that has its data starts.
pub(super) fn text(
    action: Action,
    settings: &[Setting],
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<String, OutputError> {
    let mut flags = Vec::new();
    for setting in settings {
        let variable = setting.variable();
        match environment(&variable) {
            Some(set) if set == *setting.value && !set.is_empty() => {}
            Some(_) if action == Action::Start && setting.flag.starts_with("initial-") => {}
            Some(set) => {
                let (set, wanted) = (set.to_string_lossy().into_owned(), setting.value.clone());
                return Err(OutputError::Shadowed { variable, set, wanted });
            }
            None => flags.push(flag(setting.flag, word(setting)?)),
        }
    }
    Ok(flags.join(" ") + "\n")
}

/// What the flags can't undo: a flag for a variable that is set is fatal, so only the user can unset it.
pub(super) fn warnings(environment: &dyn Fn(&str) -> Option<OsString>) -> Vec<String> {
    let is_set = |variable: &&str| environment(variable).is_some_and(|value| !value.is_empty());
    let warn = |variable| {
        format!("{variable} is set: etcd refuses it together with --initial-cluster; run `unset {variable}` first")
    };
    CONFLICTING_VARIABLES.into_iter().filter(is_set).map(warn).collect()
}

/// The flag as etcd takes it.
pub(super) fn flag(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}

/// The value, if a shell neither splits it nor takes it for a pattern of files' names.
///
/// Brackets of IPv6 addresses are let through: `http://[::1]:2380` is a pattern too, but of names below a folder
/// `--…=http:`, which nobody has, and a shell leaves a pattern alone that matches nothing.
fn word(setting: &Setting) -> Result<&str, OutputError> {
    let value = setting.printable()?;
    let special = |character: &char| character.is_whitespace() || r"*?[]\".contains(*character);
    match value.replace("://[", "").replace("]:", "").chars().find(special) {
        Some(character) => Err(OutputError::ShellUnsafe { flag: setting.flag, value: value.to_owned(), character }),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(value: &str) -> Setting {
        Setting { flag: "name", value: value.to_owned() }
    }

    fn print(value: &str, set: Option<&str>) -> Result<String, OutputError> {
        let set = set.map(OsString::from);
        text(Action::Join, &[setting(value)], &|variable| set.clone().filter(|_| variable == "ETCD_NAME"))
    }

    #[test]
    fn values_that_a_shell_leaves_alone_are_printed() {
        for value in ["infra0", "~a", "it's", "$HOME", "a;b#c!", "märz", "a=http://[::1]:2380,b=https://[::2]:2380"] {
            assert_eq!(print(value, None), Ok(format!("--name={value}\n")));
        }
    }

    #[test]
    fn values_that_a_shell_changes_are_refused() {
        for (value, character) in
            [("a b", ' '), ("a*", '*'), ("a?", '?'), ("a[b]", '['), ("a]", ']'), (r"a\b", '\\'), ("a\u{a0}b", '\u{a0}')]
        {
            let error = OutputError::ShellUnsafe { flag: "name", value: value.to_owned(), character };
            assert!(error.to_string().ends_with("use -o env"));
            assert_eq!(print(value, None), Err(error));
        }
    }

    #[test]
    fn a_flag_whose_variable_says_the_same_is_left_out() {
        assert_eq!(print("a", Some("a")), Ok("\n".to_owned()));
    }

    #[test]
    fn a_variable_that_says_something_else_is_an_error() {
        for set in ["b", ""] {
            let message = print("a", Some(set)).expect_err("etcd would not start").to_string();
            assert!(message.starts_with(&format!("ETCD_NAME is {set:?} in the environment")), "{message}");
            assert!(message.contains("with \"a\"") && message.contains("`unset ETCD_NAME`"), "{message}");
        }
    }

    #[test]
    fn what_etcd_ignores_where_it_has_data_keeps_it_from_no_start() {
        let settings = ["name", "initial-cluster-state"].map(|flag| Setting { flag, value: "existing".to_owned() });
        let new = |variable: &str| (variable == "ETCD_INITIAL_CLUSTER_STATE").then(|| OsString::from("new"));
        assert_eq!(text(Action::Start, &settings, &new), Ok("--name=existing\n".to_owned()));
        assert!(text(Action::Join, &settings, &new).is_err());
    }

    #[test]
    fn discovery_in_the_environment_is_warned_of_unless_it_is_empty() {
        let set = |variable: &str| match variable {
            "ETCD_DISCOVERY" => Some(OsString::from("http://10.0.0.1/x")),
            "ETCD_DISCOVERY_SRV" => Some(OsString::new()),
            _ => None,
        };
        let warnings = warnings(&set);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("ETCD_DISCOVERY is set"));
    }
}
