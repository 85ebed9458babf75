use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use crate::{
    cli::{AccessArgs, NodeArgs, RegistryTlsArgs},
    progress::Progress,
};

/// Spawns `convene promote` as a process of its own. It serves setups that only run `convene join` before etcd.
///
/// A learner serves no clients, so the promoter promotes it once it has caught up. For a voter, the promoter reports to the
/// registry that etcd runs: a cluster that is known to exist is never bootstrapped again. While etcd loads, the promoter
/// reports that, so that the silence of this node does not count. It exits by itself, and ends an earlier promoter.
pub fn spawn(arguments: &NodeArgs, progress: &Progress) {
    let spawned = env::current_exe().and_then(|program| {
        Command::new(program)
            .args(["promote", "--as-long-as-etcd-runs"])
            .envs(variables(arguments))
            .env_remove("CONVENE_TIMEOUT")
            // A caller that reads our output to its end must not wait for the promoter.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    });
    let message = match spawned {
        Ok(child) => {
            format!(
                "started the promoter, background process {} (`convene promote`): it reports to the registry that etcd \
                 runs, and promotes this node's member if the member is a learner",
                child.id()
            )
        }
        Err(error) => {
            format!("cannot start the promoter ({error}); run `convene promote` once etcd has started")
        }
    };
    progress.step("promoter", &message);
}

/// The node's flags as environment variables, because `ps` shows a command line to everyone.
fn variables(arguments: &NodeArgs) -> Vec<(&'static str, OsString)> {
    let NodeArgs { discovery, name, data_dir, wal_dir, initial_advertise_peer_urls, advertise_client_urls, .. } =
        arguments;
    let RegistryTlsArgs { insecure_discovery, discovery_cacert, discovery_cert, discovery_key } = &discovery.tls;
    let AccessArgs {
        cacert,
        cert,
        key,
        user,
        insecure_etcd_credentials,
        peer_trusted_ca_file,
        peer_cert_file,
        peer_key_file,
        listen_metrics_urls,
    } = &arguments.access;
    let user = user.as_ref().map(|user| OsString::from(format!("{}:{}", user.name, user.password)));
    let path = |path: &Option<std::path::PathBuf>| path.clone().map(OsString::from);
    let flags = [
        ("CONVENE_DISCOVERY", Some(discovery.url().reveal().into())),
        ("CONVENE_INSECURE_DISCOVERY", insecure_discovery.then(|| "true".into())),
        ("CONVENE_DISCOVERY_CACERT", path(discovery_cacert)),
        ("CONVENE_DISCOVERY_CERT", path(discovery_cert)),
        ("CONVENE_DISCOVERY_KEY", path(discovery_key)),
        ("CONVENE_NAME", Some(name.to_string().into())),
        ("CONVENE_JOIN_TOKEN_FILE", path(&arguments.join_token_file)),
        ("CONVENE_CREDENTIAL_FILE", path(&arguments.credential_file)),
        ("CONVENE_DATA_DIR", path(data_dir)),
        ("CONVENE_WAL_DIR", path(wal_dir)),
        (
            "CONVENE_INITIAL_ADVERTISE_PEER_URLS",
            Some(joined(initial_advertise_peer_urls)).filter(|urls| !urls.is_empty()),
        ),
        ("CONVENE_ADVERTISE_CLIENT_URLS", Some(joined(advertise_client_urls)).filter(|urls| !urls.is_empty())),
        ("CONVENE_CLIENT_PORT", Some(arguments.client_port.to_string().into())),
        ("CONVENE_CACERT", path(cacert)),
        ("CONVENE_CERT", path(cert)),
        ("CONVENE_KEY", path(key)),
        ("CONVENE_USER", user),
        ("CONVENE_INSECURE_ETCD_CREDENTIALS", insecure_etcd_credentials.then(|| "true".into())),
        ("CONVENE_PEER_TRUSTED_CA_FILE", path(peer_trusted_ca_file)),
        ("CONVENE_PEER_CERT_FILE", path(peer_cert_file)),
        ("CONVENE_PEER_KEY_FILE", path(peer_key_file)),
        ("CONVENE_LISTEN_METRICS_URLS", Some(joined(listen_metrics_urls)).filter(|urls| !urls.is_empty())),
    ];
    flags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn joined<T: ToString>(items: &[T]) -> OsString {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",").into()
}
