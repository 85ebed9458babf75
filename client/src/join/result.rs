use serde_json::json;

use crate::{
    command_error::CommandError,
    one_line,
    output::{EtcdConfig, Format},
    progress::Progress,
    registry::Instruction,
    stdout::print,
};

/// Renders the configuration, and logs the warnings. An error here comes before anything is logged as done.
pub fn render(config: &EtcdConfig, format: Format, progress: &Progress) -> Result<String, CommandError> {
    let rendered = config.render(format, &|name| std::env::var_os(name));
    let rendered = rendered.map_err(|error| CommandError::Usage(error.to_string()))?;
    for warning in &rendered.warnings {
        progress.step("warning", warning);
    }
    Ok(rendered.text)
}

/// Prints the instruction of a dry run.
pub fn print_dry_run(format: Format, instruction: &Instruction) -> Result<(), CommandError> {
    let Instruction { name, reason, message, .. } = instruction;
    let text = match format {
        Format::Json => {
            let result = json!({ "dry_run": true, "instruction": name, "reason": reason, "message": message });
            one_line::json_lines(&format!("{result:#}\n"))
        }
        // A comment, in case that a shell evaluates it.
        Format::Env | Format::Dropin | Format::Flags => {
            one_line::shell_comment(&format!("# next: {name} ({reason}): {message}")) + "\n"
        }
    };
    print(&text)
}
