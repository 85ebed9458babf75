//! Whether what an instruction says about this node is about this node.

use std::collections::BTreeMap;

use convene_lifecycle::{MemberName, PeerUrl};

use crate::{one_line::is_unsafe, registry::Start, session::Session};

/// Checks that these are peer URLs of this node: those that it has reported.
pub fn check_peer_urls(session: &Session, urls: &[PeerUrl]) -> Result<(), String> {
    if urls.is_empty() {
        return Err("the instruction names no peer URL of this node".to_owned());
    }
    match urls.iter().find(|url| session.own_peer_url(url).is_none()) {
        None => Ok(()),
        Some(foreign) => Err(format!("{foreign} is not a peer URL of this node")),
    }
}

/// Checks that etcd would start under this node's name and peer URLs. `is_listed`: the member must be in `--initial-cluster`, too,
/// which etcd ignores if it starts on its data.
pub fn check_start(session: &Session, start: &Start, is_listed: bool) -> Result<(), String> {
    let Start { name, initial_advertise_peer_urls, initial_cluster, initial_cluster_token } = start;
    if *name != session.node.name {
        return Err(format!("{name} is not the name of this node"));
    }
    check_peer_urls(session, initial_advertise_peer_urls)?;
    if initial_cluster_token.contains(is_unsafe) {
        return Err("the initial cluster token has a control character".to_owned());
    }
    let members = members(initial_cluster)?;
    let listed = members.iter().find(|(listed, _)| **listed == session.node.name).map(|(_, urls)| urls);
    match listed {
        _ if !is_listed => Ok(()),
        None => Err("this node is not in the list of members to start with".to_owned()),
        Some(urls) => check_peer_urls(session, urls),
    }
}

/// The peer URLs of each member in a value of `--initial-cluster`.
pub fn members(initial_cluster: &str) -> Result<BTreeMap<MemberName, Vec<PeerUrl>>, String> {
    let mut members: BTreeMap<MemberName, Vec<PeerUrl>> = BTreeMap::new();
    for pair in initial_cluster.split(',') {
        let no_member = || format!("{pair:?} in --initial-cluster is no member");
        let (name, url) = pair.split_once('=').ok_or_else(no_member)?;
        let name: MemberName = name.parse().map_err(|_| no_member())?;
        if name.as_str().contains(is_unsafe) {
            return Err(no_member());
        }
        members.entry(name).or_default().push(PeerUrl::parse(url).map_err(|error| error.to_string())?);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_members_has_names_and_urls() {
        let found = members("a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,a=http://10.1.0.1:2380").unwrap();
        let counts: Vec<_> = found.iter().map(|(name, urls)| (name.as_str(), urls.len())).collect();
        assert_eq!(counts, [("a", 2), ("b", 1)]);
        for wrong in [
            "",
            "a",
            "=http://10.0.0.1:2380",
            "a=",
            "a=http://10.0.0.1",
            "a\u{202e}=http://10.0.0.1:2380",
            "a=http://h:1,",
        ] {
            assert!(members(wrong).is_err(), "{wrong:?}");
        }
    }
}
