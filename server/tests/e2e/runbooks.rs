//! The lines of shell of docs/install.md, docs/adopt.md and docs/runbooks work as they stand, on machines that a real systemd has booted.

mod adopt;
mod back_up;
mod change_addresses;
mod join;
mod lost_quorum;
mod maintenance;
mod monitoring;
mod nodes;
mod postgresql;
mod replace_machines;
mod resize;
mod stock_discovery;
mod uninstall;
mod upgrades;

use convene_harness::{Machine, Page, Site, Steps, etcd::Version, peers};

/// A server and the nodes of a cluster, installed as docs/install.md describes it.
struct Installation {
    site: Site,
    server: Machine,
    nodes: Vec<Machine>,
}

impl Installation {
    /// A server and a running cluster `prod` of three: infra0, infra1 and infra2. `None`, with the reason printed, if machines can't run
    /// here.
    fn with_cluster(etcd: &'static str) -> Option<Self> {
        let mut installation = Self::with_server(etcd)?;
        let mut page = Page::steps("docs/nodes.md");
        installation.server.types(&page.take("Before the first start"));
        for number in 0..3 {
            let node = installation.boot_node(number);
            prepare_node(&node, number);
            installation.server.types(&format!("scp discovery join-token {}:", node.name));
            start_node(&node);
            installation.nodes.push(node);
        }
        for node in &installation.nodes {
            node.types(WAIT_FOR_VOTER);
        }
        installation.server.types("rm discovery join-token");
        Some(installation)
    }

    /// A server without nodes.
    fn with_server(etcd: &'static str) -> Option<Self> {
        let site = Site::new(Version::find(etcd)?)?;
        let server = site.boot("discovery");
        let mut page = install_server(&server);
        server.types(&page.take("Install the server"));
        server.types(WAIT_FOR_SERVER);
        let printed = server.types(&page.take("Install the server"));
        assert!(printed.starts_with("ok") && printed.contains("first   cl-"), "{printed}");
        Some(Self { site, server, nodes: Vec::new() })
    }

    /// Boots the machine of a node, on which nothing is installed.
    fn boot_node(&self, number: usize) -> Machine {
        self.site.boot(&format!("infra{number}"))
    }

    /// Waits until the server is ready.
    fn wait_for_server(&self) {
        self.server.types(WAIT_FOR_SERVER);
    }

    /// Waits until each node has reported that it reaches each member.
    fn wait_for_crosscheck(&self) {
        self.administrator_types("until convene cluster crosscheck prod; do sleep 0.5; done");
    }

    /// Boots a machine, and installs a node that has no files yet.
    fn boot_prepared_node(&mut self, number: usize) -> &Machine {
        let node = self.boot_node(number);
        prepare_node(&node, number);
        self.nodes.push(node);
        self.nodes.last().expect("it was added")
    }

    /// The machine with this host name.
    fn node(&self, name: &str) -> &Machine {
        self.nodes.iter().find(|node| node.name == name).expect("the machine runs")
    }

    /// Ends a machine as a loss of power does.
    fn lose(&mut self, name: &str) {
        self.nodes.retain(|node| node.name != name);
    }

    /// Types lines into the administrator's shell.
    #[track_caller]
    fn administrator_types(&self, lines: &str) -> String {
        self.server.types(&format!(". /var/lib/convene/admin.env\n{lines}"))
    }
}

/// The runbooks are about etcds with TLS. Those here have none.
fn without_tls(lines: &str) -> String {
    lines.replace("https://10.0.0.", "http://10.0.0.")
}

/// What the runbooks let a reader wait for.
const WAIT_FOR_VOTER: &str = "until curl -fsS http://127.0.0.1:2382/voter; do sleep 0.2; done";

const WAIT_FOR_SERVER: &str =
    "until curl -fsS --cacert /var/lib/convene/ca.crt https://localhost:8087/readyz; do sleep 0.1; done";

/// Installs the server on a machine, and does not start it. The rest of the page follows.
fn install_server(machine: &Machine) -> Steps {
    let mut page = Page::steps("docs/install.md");
    for _ in 0..2 {
        machine.types(&page.take("Install the server"));
    }
    page
}

/// Installs what a node needs on a machine, up to its settings. Its two files may follow.
fn prepare_node(node: &Machine, number: usize) {
    let mut page = Page::steps("docs/install.md");
    page.take("Install a node");
    node.types("touch discovery join-token");
    node.types(&page.take("Install a node"));
    node.types("rm /etc/convene/discovery /etc/convene/join-token");
    node.writes("/etc/convene/node.env", &node_env(number));
}

/// Starts a node whose two files are in root's home.
fn start_node(node: &Machine) {
    let mut page = Page::steps("docs/install.md");
    page.take("Install a node");
    let install = page.take("Install a node");
    let files = install.lines().rfind(|line| line.contains("/etc/convene/")).expect("the files are installed");
    node.types(files);
    // A unit that is about to start has status 3.
    let printed = node.try_to_type(&page.take("Install a node")).unwrap_or_else(|printed| printed);
    assert!(printed.contains("etcd, run by Convene"), "{printed}");
}

/// Creates the user of etcd on a machine, as the packages of distributions do.
fn create_etcd_user(node: &Machine) {
    node.types("useradd --system --home-dir /var/lib/etcd --shell /usr/sbin/nologin etcd");
}

/// Starts etcd's own unit, which may wait for other nodes.
fn start_etcd_unit(node: &Machine) {
    node.types("systemctl daemon-reload; systemctl enable etcd; systemctl start --no-block etcd");
}

/// The file `node.env` of docs/install.md, for another node.
fn node_env(number: usize) -> String {
    of_node(&Page::read("docs/install.md").blocks("Install a node", "ini").remove(0), number)
}

/// What an example of the pages has for infra0, for another node.
fn of_node(example: &str, number: usize) -> String {
    example.replace("infra0", &format!("infra{number}")).replace("10.0.0.10", &format!("10.0.0.{}", 10 + number))
}

/// Types lines into the root shell of a node that has the node's settings.
#[track_caller]
fn node_types(node: &Machine, lines: &str) -> String {
    let settings = "set -a\n. /etc/convene/node.env\nset +a\n";
    node.types(&format!("{settings}{lines}"))
}
