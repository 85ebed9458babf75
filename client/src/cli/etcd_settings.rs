use std::ffi::OsString;

use clap::{
    ArgMatches, Command, Error,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::{NodeArgs, environment};
use crate::etcd_command::{EtcdCommand, Origin, Variables, flag_of};

/// etcd's default name. All nodes that were never given a name have it, so it names none of them.
const DEFAULT_NAME: &str = "default";

/// What `convene run` takes from the command of etcd, so that nothing has to be written twice. Other commands take only variables.
pub struct EtcdSettings<'a> {
    variables: &'a Variables,
    command: Option<EtcdCommand>,
    taken: Vec<Taken>,
}

/// A setting of etcd that has the meaning of one of our flags.
struct Taken {
    /// The ID of our flag.
    id: &'static str,
    /// Our flag, with dashes.
    flag: String,
    value: OsString,
    origin: Origin,
}

impl<'a> EtcdSettings<'a> {
    /// Reads the command after `--`, if the command line is one of `convene run`.
    pub fn read(command: &Command, arguments: &[OsString], variables: &'a Variables) -> Result<Self, Error> {
        let mut read = Self { variables, command: None, taken: Vec::new() };
        if !arguments.iter().any(|argument| argument == "run") {
            return Ok(read);
        }
        // What is wrong or missing is reported later. Help is an error here, too.
        let matches = command.clone().ignore_errors(true).try_get_matches_from(arguments)?;
        let Some(("run", run)) = matches.subcommand() else { return Ok(read) };
        let Ok(Some(etcd)) = run.try_get_raw("etcd") else { return Ok(read) };
        let etcd: Vec<OsString> = etcd.map(ToOwned::to_owned).collect();
        let etcd = EtcdCommand::read(&etcd, variables.clone()).map_err(usage)?;
        let run_command = command.find_subcommand("run").expect("it has been parsed");
        read.taken = taken(run_command, run, &etcd, variables);
        read.command = Some(etcd);
        Ok(read)
    }

    /// The command line with our flags for the settings of etcd's flags or file, before `--`.
    pub fn insert_into(&self, mut arguments: Vec<OsString>) -> Vec<OsString> {
        let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let inserted = self.taken.iter().filter(|taken| !matches!(taken.origin, Origin::Variable(_))).map(|taken| {
            let mut argument = OsString::from(format!("{}=", taken.flag));
            argument.push(&taken.value);
            argument
        });
        arguments.splice(end..end, inserted);
        arguments
    }

    /// A variable. Those that etcd would not read do not count, nor does its default name.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let value = self.variables.get(name)?;
        match &self.command {
            Some(etcd) if name.starts_with("ETCD_") && (!etcd.reads_variable(name) || !names_node(name, &value)) => {
                None
            }
            _ => Some(value),
        }
    }

    /// Adds to an error about a value where it was found, if that was not on our part of the command line.
    pub fn with_origin(&self, mut error: Error) -> Error {
        let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
        let flag = argument.split(' ').next().unwrap_or_default();
        if let Some(Taken { origin, .. }) = self.taken.iter().find(|taken| taken.flag == flag) {
            let tip = StyledStr::from(format!("the value is that of {origin}"));
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
        error
    }

    /// The end of a tip about missing flags.
    pub fn tip_about_missing_flags(&self) -> &'static str {
        match &self.command {
            Some(etcd) if etcd.has_config_file() => {
                ", or add the keys to etcd's configuration file, which silences its flags and variables"
            }
            Some(_) => "; etcd's own flags and variables count, too, apart from its default name `default`",
            None => "",
        }
    }

    /// Whether a flag has its value from etcd's configuration file.
    pub fn is_from_file(&self, id: &str) -> bool {
        self.taken.iter().any(|taken| taken.id == id && matches!(taken.origin, Origin::Key { .. }))
    }

    /// Fails if etcd could not start.
    pub fn check(&self, node: &NodeArgs) -> Result<(), Error> {
        let Some(etcd) = &self.command else { return Ok(()) };
        etcd.check_client_urls(&node.advertise_client_urls).map_err(usage)
    }
}

/// The settings of etcd for the flags of `run` that are given neither on the command line nor by our variable.
fn taken(run: &Command, matches: &ArgMatches, etcd: &EtcdCommand, variables: &Variables) -> Vec<Taken> {
    let mut taken = Vec::new();
    for argument in run.get_arguments() {
        let id = argument.get_id().as_str();
        let Some((id, names)) = environment::ETCD_VARIABLES.iter().find(|(own, _)| *own == id) else { continue };
        let own = argument.get_env().and_then(|name| variables.get(name.to_str()?));
        let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
        if is_given || own.is_some_and(|value| !value.is_empty()) {
            continue;
        }
        let first = names.iter().find_map(|name| {
            let (value, origin) = match flag_of(name) {
                Some(flag) => {
                    let setting = etcd.get(&flag)?;
                    (setting.value, setting.origin)
                }
                // etcdctl's.
                None => (variables.get(name)?, Origin::Variable((*name).to_owned())),
            };
            (environment::is_usable(name, &value) && names_node(name, &value)).then_some((value, origin))
        });
        if let (Some((value, origin)), Some(long)) = (first, argument.get_long()) {
            taken.push(Taken { id, flag: format!("--{long}"), value, origin });
        }
    }
    taken
}

/// Whether a variable with this value is not the default name.
fn names_node(variable: &str, value: &OsString) -> bool {
    variable != "ETCD_NAME" || value != DEFAULT_NAME
}

fn usage(error: impl std::fmt::Display) -> Error {
    Error::raw(ErrorKind::ValueValidation, format!("{error}\n"))
}
