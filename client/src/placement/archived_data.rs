use crate::{registry::State, session::Session};

/// The reasons to wait with which the data of the cluster may be lost, or may be needed to start it.
const MAY_NEED_DATA: [&str; 3] = ["no_quorum", "founders_missing", "held"];

/// What a node without data adds to a message about the archives next to its data directory while it waits for this reason. `None` if it has
/// none of this cluster, or none at all if the cluster's ID is not known.
pub fn note(session: &Session, state: &State, reason: &str) -> Option<String> {
    if !matches!(state, State::Empty { .. }) || !MAY_NEED_DATA.contains(&reason) {
        return None;
    }
    let (node, cluster) = (&session.node, session.cluster_id());
    let mut archives = node.data.archived();
    archives.retain(|(_, archived)| cluster.is_none_or(|cluster| archived.cluster == cluster));
    if archives.is_empty() {
        return None;
    }
    // The order in a directory means nothing, and would make a different line each time.
    archives.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let archives: Vec<String> = archives
        .iter()
        .map(|(path, archived)| {
            format!("the data of member {} of etcd cluster {}: {}", archived.member, archived.cluster, path.display())
        })
        .collect();
    let archive = match node.wal_path {
        None => "the archive",
        Some(_) => "the archives of the WAL directory and of the data directory",
    };
    Some(format!(
        "; this node has an archive with {}; if that data is needed, stop this command, move {archive} back and start again",
        archives.join(", and one with ")
    ))
}
