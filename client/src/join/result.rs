use serde_json::json;

use crate::{
    command_error::CommandError,
    node::Node,
    one_line,
    output::{Action, EtcdConfig, Format, InitialClusterState},
    progress::Progress,
    registry::{Instruction, Start},
    stdout::print,
};

/// The configuration to start this node's etcd with. Without `start` the registry does not know the member, and etcd
/// starts on its data with the settings that the node knows itself.
pub fn etcd_config(node: &Node, action: Action, start: Option<&Start>, reason: &str, message: &str) -> EtcdConfig {
    let peer_urls = start.map_or(&node.peer_urls, |start| &start.initial_advertise_peer_urls);
    let initial_cluster_state = match action {
        Action::Bootstrap => InitialClusterState::New,
        Action::Start | Action::Join => InitialClusterState::Existing,
    };
    EtcdConfig {
        action,
        name: start.map_or(&node.name, |start| &start.name).clone(),
        data_dir: node.data_path.clone(),
        wal_dir: node.wal_path.clone(),
        initial_advertise_peer_urls: peer_urls.clone(),
        initial_cluster: start.map(|start| start.initial_cluster.clone()),
        initial_cluster_state,
        initial_cluster_token: start.map(|start| start.initial_cluster_token.clone()),
        advertise_client_urls: node.client_urls.clone(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

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
