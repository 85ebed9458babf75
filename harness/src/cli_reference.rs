//! The reference of both command lines, docs/reference/cli.md, made from what clap knows of them.
//!
//! The crate clap-markdown does the same without the variables.

use std::{
    collections::HashMap,
    env,
    fmt::{self, Write as _},
    fs::OpenOptions,
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use clap::{Arg, ArgAction, Command, builder::StyledStr};

/// Compares a program's part of the reference with its command line.
///
/// With `CONVENE_UPDATE_GENERATED` set, the part is written first.
///
/// # Panics
///
/// If the part is stale.
pub fn check(mut command: Command) {
    command.build();
    let name = command.get_name().to_owned();
    let mut part = Part::default();
    part.describe(&command, 2).expect("a String takes everything");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("docs/reference/cli.md exists");
    // Tests of both programs may write at the same time.
    file.lock().expect("the file can be locked");
    let mut page = String::new();
    file.read_to_string(&mut page).expect("the reference can be read");
    let updated = with_part(&page, &name, &part.text);
    if page != updated && env::var_os("CONVENE_UPDATE_GENERATED").is_some() {
        file.set_len(0).and_then(|()| file.rewind()).expect("the reference can be written");
        file.write_all(updated.as_bytes()).expect("the reference can be written");
        page.clone_from(&updated);
    }
    assert!(page == updated, "docs/reference/cli.md is stale for {name}; run scripts/generate");
}

/// The page with another part for one program. A part begins with the program's heading, and ends before the next one of
/// that level.
fn with_part(page: &str, name: &str, part: &str) -> String {
    let heading = format!("\n## {name}\n");
    let (before, after) = page.split_once(&heading).unwrap_or((page, ""));
    let rest = after.find("\n## ").map_or("", |next| &after[next..]);
    format!("{before}\n{part}{rest}")
}

/// A program's part of the page while it is written.
#[derive(Default)]
struct Part {
    text: String,
    /// The tables of flags that have a heading, and the command that has them: commands share most of them.
    groups: HashMap<String, String>,
}

impl Part {
    /// Writes a command with its subcommands.
    fn describe(&mut self, command: &Command, level: usize) -> fmt::Result {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        writeln!(self.text, "{} {name}\n", "#".repeat(level))?;
        if let Some(about) = command.get_long_about().or(command.get_about()) {
            writeln!(self.text, "{}\n", paragraphs(about))?;
        }
        let usage = command.clone().render_usage().to_string();
        for line in usage.trim_start_matches("Usage:").lines() {
            writeln!(self.text, "    {}", line.trim())?;
        }
        self.list_subcommands(command)?;
        // A program's global flags are described once, with the program.
        let described = |arg: &&Arg| !arg.is_hide_set() && (level == 2 || !arg.is_global_set()) && !is_built_in(arg);
        let args: Vec<_> = command.get_arguments().filter(described).collect();
        let mut headings = Vec::new();
        for heading in args.iter().map(|arg| arg.get_help_heading()) {
            if !headings.contains(&heading) {
                headings.push(heading);
            }
        }
        for heading in headings {
            let flags = args.iter().copied().filter(|arg| arg.get_help_heading() == heading);
            self.describe_group(name, heading, flags)?;
        }
        // What all commands of a program end with stands once, with the program.
        if let Some(after) = command.get_after_help().filter(|_| level == 2) {
            writeln!(self.text, "\n{}", paragraphs(after))?;
        }
        for subcommand in command.get_subcommands().filter(is_documented) {
            writeln!(self.text)?;
            self.describe(subcommand, level + 1)?;
        }
        Ok(())
    }

    fn list_subcommands(&mut self, command: &Command) -> fmt::Result {
        let mut subcommands = command.get_subcommands().filter(is_documented).peekable();
        if subcommands.peek().is_some() {
            writeln!(self.text, "\n| command | description |\n|---|---|")?;
        }
        for subcommand in subcommands {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            writeln!(self.text, "| `{}` | {} |", subcommand.get_name(), cell(&about))?;
        }
        Ok(())
    }

    fn describe_group<'a>(
        &mut self,
        command: &str,
        heading: Option<&str>,
        flags: impl Iterator<Item = &'a Arg>,
    ) -> fmt::Result {
        let mut table = "\n| flag | variable | default | description |\n|---|---|---|---|\n".to_owned();
        for arg in flags {
            describe_arg(arg, &mut table)?;
        }
        let Some(heading) = heading else { return self.text.write_str(&table) };
        match self.groups.get(&table) {
            Some(first) => writeln!(self.text, "\n{heading}: as for `{first}`."),
            None => {
                writeln!(self.text, "\n{heading}:")?;
                self.text.push_str(&table);
                self.groups.insert(table, command.to_owned());
                Ok(())
            }
        }
    }
}

fn describe_arg(arg: &Arg, into: &mut String) -> fmt::Result {
    let mut names: Vec<_> = arg.get_short().map(|short| format!("-{short}")).into_iter().collect();
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let mut flag = names.join(", ");
    if !is_switch(arg) {
        for value in arg.get_value_names().unwrap_or_default() {
            write!(flag, "{}<{value}>", if flag.is_empty() { "" } else { " " })?;
        }
    }
    let variable = arg.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    // The paragraphs share a cell, and clap strips the full stop of the first.
    let help = match help.split_once("\n\n") {
        Some((first, rest)) => format!("{}. {rest}", first.trim_end_matches('.')),
        None => help,
    };
    // A default that depends on something stands at the end of the text.
    let (mut help, default) =
        match help.rsplit_once("[default: ").and_then(|(help, rest)| Some((help, rest.strip_suffix(']')?))) {
            Some((help, default)) => (help.trim_end().to_owned(), default.to_owned()),
            None if arg.is_required_set() => (help.clone(), "required".to_owned()),
            None if is_switch(arg) => (help.clone(), String::new()),
            None => {
                let values: Vec<_> =
                    arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
                (help.clone(), values.join(", "))
            }
        };
    let values = arg.get_possible_values();
    if !is_switch(arg) && !values.is_empty() {
        let values = values.iter().filter(|value| !value.is_hide_set()).map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {}", value.get_name(), help.to_string().trim_end_matches('.')),
            None => format!("`{}`", value.get_name()),
        });
        write!(help, ". {}", values.collect::<Vec<_>>().join("; "))?;
    }
    writeln!(into, "| `{flag}` | {variable} | {} | {} |", cell(&default), cell(&help))
}

/// Whether a flag is `true` if it is given.
fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count)
}

/// `--help` and `--version`.
fn is_built_in(arg: &Arg) -> bool {
    use ArgAction::{Help, HelpLong, HelpShort, Version};
    matches!(arg.get_action(), Help | HelpLong | HelpShort | Version)
}

fn is_documented(command: &&Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

/// A text as it stands in Markdown.
fn paragraphs(text: &StyledStr) -> String {
    escaped(text.to_string().trim_end())
}

/// A text as it stands in a table.
fn cell(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" ")).replace('|', "\\|")
}

/// A text whose `<` do not begin a tag.
fn escaped(text: &str) -> String {
    text.replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_the_last_one() {
        let page = "# All\n\n## one\n\nold\n\n## two\n\nkept\n";
        assert_eq!(with_part(page, "one", "## one\n\nnew\n"), "# All\n\n## one\n\nnew\n\n## two\n\nkept\n");
        assert_eq!(with_part(page, "two", "## two\n\nnew\n"), "# All\n\n## one\n\nold\n\n## two\n\nnew\n");
        assert_eq!(with_part(page, "three", "## three\n"), "# All\n\n## one\n\nold\n\n## two\n\nkept\n\n## three\n");
    }

    #[test]
    fn a_flag_is_described_with_its_variable_and_its_default() {
        let command = Command::new("x").arg(
            Arg::new("size").short('s').long("size").value_name("N").env("X_SIZE").default_value("3").help("How\nmany"),
        );
        let mut part = Part::default();
        part.describe(&command, 2).unwrap();
        let text = part.text;
        assert!(text.contains("| `-s, --size <N>` | `X_SIZE` | `3` | How many |"), "{text}");
    }
}
