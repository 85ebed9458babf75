use serde_json::json;

use crate::{
    exit::Failure,
    node::Node,
    output::{Action, EtcdConfig, Format, InitialClusterState},
    progress::Progress,
    registry::{Instruction, Start},
    stdout::print,
};

/// How this node's etcd is to be started: as the registry says, or on its own data with what the node knows itself.
pub fn config(node: &Node, action: Action, start: Option<&Start>, reason: &str, message: &str) -> EtcdConfig {
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

/// The result as it is printed; whatever stands in its way does so before anything is said to be done.
pub fn render(config: &EtcdConfig, format: Format, progress: &Progress) -> Result<String, Failure> {
    let printed = config.print(format, &|name| std::env::var_os(name));
    let printed = printed.map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in &printed.warnings {
        progress.step("warning", warning);
    }
    Ok(printed.text)
}

/// What would be done next, and why.
pub fn print_dry(format: Format, instruction: &Instruction) -> Result<(), Failure> {
    let Instruction { word, reason, message, .. } = instruction;
    let text = match format {
        Format::Json => {
            let result = json!({ "dry_run": true, "instruction": word, "reason": reason, "message": message });
            format!("{result:#}\n")
        }
        // A comment for whoever evaluates it, and a sentence for whoever reads it.
        Format::Env | Format::Dropin | Format::Flags => format!("# next: {word} ({reason}): {message}\n"),
    };
    print(&text)
}
