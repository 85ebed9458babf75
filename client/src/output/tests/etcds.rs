//! Real etcds start with the output.

use std::{fs, time::Duration};

use convene_harness::{Place, Process, etcd::Version, wait_for};

use super::*;

#[test]
fn etcd_bootstraps_with_variables_even_if_discovery_was_set_before() {
    for version in Version::all() {
        let etcd = version.program().display();
        let node = Node::new("infra 0 'a'", "my data");
        // etcd 3.4 and 3.5 do not know the last two, and log that.
        let script = r#"export ETCD_DISCOVERY=http://127.0.0.1:1/x ETCD_DISCOVERY_SRV=example.invalid \
            ETCD_DISCOVERY_ENDPOINTS=http://127.0.0.1:1 ETCD_DISCOVERY_TOKEN=x
            eval "$(cat printed)"; exec "#;
        node.bootstraps(&version, Format::Env, &|listen| format!("{script}{etcd} {listen}"));
    }
}

#[test]
fn etcd_bootstraps_with_flags() {
    for version in Version::all() {
        let etcd = version.program().display();
        let node = Node::new("infra0", "data");
        node.bootstraps(&version, Format::Flags, &|listen| format!("exec {etcd} $(cat printed) {listen}"));
    }
}

#[test]
fn etcd_starts_on_its_data_with_stale_initial_variables() {
    for version in Version::all() {
        let etcd = version.program().display();
        let mut node = Node::new("infra0", "data");
        let script = |listen: &str| format!("exec {etcd} $(cat printed) {listen}");
        node.bootstraps(&version, Format::Flags, &script);
        node.config.action = Action::Start;
        node.config.initial_cluster = None;
        node.config.initial_cluster_state = InitialClusterState::Existing;
        let stale = |variable: &str| match variable {
            "ETCD_INITIAL_CLUSTER" => Some("other=http://10.0.0.9:2380".into()),
            "ETCD_INITIAL_CLUSTER_STATE" => Some("new".into()),
            "ETCD_INITIAL_CLUSTER_TOKEN" => Some("".into()),
            _ => None,
        };
        let variables = "ETCD_INITIAL_CLUSTER=other=http://10.0.0.9:2380 ETCD_INITIAL_CLUSTER_STATE=new \
            ETCD_INITIAL_CLUSTER_TOKEN=";
        let rendered = node.config.render(Format::Flags, &stale).expect("printable");
        node.starts(&version, &rendered.text, &|listen| format!("export {variables}; {}", script(listen)));
    }
}

/// If etcd changes this, flags may be printed even if their variable is set to the same value or to nothing.
#[test]
fn etcd_refuses_a_flag_whose_variable_is_set() {
    for version in Version::all() {
        let etcd = version.program().display();
        for set in ["infra0", ""] {
            let directory = tempfile::tempdir().expect("a directory");
            let script = format!("ETCD_NAME={set} exec {etcd} --name=infra0 2>&1");
            let output = run(Path::new("timeout"), &["20", "sh", "-c", &script], directory.path());
            let stdout = String::from_utf8_lossy(&output.stdout);
            assert!(stdout.contains("is shadowed by corresponding command-line flag"), "{etcd}: {stdout}");
        }
    }
}

/// A node that bootstraps a cluster alone.
struct Node {
    config: EtcdConfig,
    place: Place,
    directory: tempfile::TempDir,
}

impl Node {
    fn new(name: &str, data_dir: &str) -> Self {
        let place = Place::new();
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = config(name, &directory.path().join(data_dir).display().to_string());
        config.initial_cluster = Some(format!("{name}={}", place.peer_url));
        config.initial_advertise_peer_urls = vec![place.peer_url.parse().expect("a URL")];
        config.advertise_client_urls = vec![place.client_url.parse().expect("a URL")];
        Self { config, place, directory }
    }

    fn bootstraps(&self, version: &Version, format: Format, script: &dyn Fn(&str) -> String) {
        self.starts(version, &print(&self.config, format), script);
    }

    /// Starts etcd by a script, and waits until its cluster is healthy. The script gets the listen flags, and finds the
    /// output in the file `printed`.
    fn starts(&self, version: &Version, printed: &str, script: &dyn Fn(&str) -> String) {
        let directory = self.directory.path();
        fs::write(directory.join("printed"), printed).expect("written");
        let Place { client_url, peer_url, .. } = &self.place;
        let listen = format!("--listen-peer-urls={peer_url} --listen-client-urls={client_url}");
        let mut command = Command::new("sh");
        command.args(["-c", &script(&listen)]).env_clear().env("PATH", env::var_os("PATH").expect("PATH is set"));
        let mut etcd = Process::spawn(&format!("etcd {}", version.name), command.current_dir(directory));
        let healthy = wait_for(Duration::from_secs(60), || {
            assert!(etcd.is_running(), "etcd {} ended: {}", version.name, etcd.output());
            version.etcdctl(client_url, &["endpoint", "health"]).ok()
        });
        assert!(healthy.is_some(), "etcd {} does not become healthy: {}", version.name, etcd.output());
        assert!(self.config.data_dir.join("member/wal").exists());
    }
}
