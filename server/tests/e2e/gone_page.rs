//! The lines in docs/discovery.etcd.io-is-gone.md work as they stand, with the page's host, CA, token and addresses replaced.

use std::{path::Path, process::Command, time::Duration};

use convene_harness::{Process, SetUp, etcd::Version, wait_for};

const LIMIT: Duration = Duration::from_secs(80);

#[test]
fn the_lines_for_etcd_up_to_3_6_form_a_cluster() {
    for version in ["3.4", "3.5", "3.6"] {
        let Some(version) = Version::find(version) else { continue };
        let set_up = SetUp::new();
        let _server = set_up.start();
        let blocks = blocks("etcd up to 3.6", "sh", &set_up);
        let url = shell(&format!("{}\n", blocks[0]));
        three_nodes_form_a_cluster(&version, 36, |node| node.adapt(&format!("url={url}\n{}", blocks[1])));
    }
}

#[test]
fn the_lines_for_etcd_3_7_form_a_cluster() {
    for version in ["3.6", "3.7"] {
        let Some(version) = Version::find(version) else { continue };
        let set_up = SetUp::new();
        let _server = set_up.start();
        let blocks = blocks("etcd 3.7", "sh", &set_up);
        let token = shell(&format!("{}\necho $token", blocks[0]));
        three_nodes_form_a_cluster(&version, 37, |node| node.adapt(&format!("token={token}\n{}", blocks[1])));
    }
}

#[test]
fn magnum_gets_a_url_and_finds_the_size_there() {
    let set_up = SetUp::new();
    let _server = set_up.start();
    let block = &blocks("OpenStack Magnum", "ini", &set_up)[0];
    let template = block.split_once("etcd_discovery_service_endpoint_format = ").unwrap().1.trim();
    let url = shell(&format!("{} '{}'", curl(&set_up), template.replace("%(size)d", "5")));
    // Magnum compares this with the number of masters: magnum/drivers/heat/template_def.py:validate_discovery_url.
    let size: serde_json::Value =
        serde_json::from_str(&shell(&format!("{} {url}/_config/size", curl(&set_up)))).unwrap();
    assert_eq!(size["node"]["value"], "5");
}

#[test]
fn the_flags_in_the_butane_config_form_a_cluster() {
    let Some(version) = Version::find("3.6") else { return };
    let set_up = SetUp::new();
    let _server = set_up.start();
    let block = with_token(&blocks("Flatcar", "yaml", &set_up)[0], &set_up);
    let flags = block.split_once("etcd-wrapper $ETCD_OPTS ").unwrap().1;
    three_nodes_form_a_cluster(&version, 38, |node| {
        let flags = flags.replace("${COREOS_PRIVATE_IPV4}", &node.ip).replace("%m", &node.name);
        // The container has the machine's CAs, the one that the config adds among them.
        node.adapt(&format!("export SSL_CERT_FILE={}\netcd --data-dir /var/lib/etcd {flags}", ca(&set_up)))
    });
}

#[test]
fn the_url_that_terraform_makes_forms_a_cluster() {
    let Some(version) = Version::find("3.6") else { return };
    let set_up = SetUp::new();
    let _server = set_up.start();
    let block = blocks("Terraform", "hcl", &set_up)[0].replace("${random_uuid.etcd.result}", "made-by-terraform");
    let quoted = |name: &str| block.split_once(&format!("{name} = \"")).unwrap().1.split_once('"').unwrap().0;
    let url = quoted("input");
    shell(&quoted("command").replace("${self.input}", url));
    let lines = &blocks("etcd up to 3.6", "sh", &set_up)[1];
    three_nodes_form_a_cluster(&version, 39, |node| node.adapt(&format!("url={url}\n{lines}")));
}

#[test]
fn the_variables_in_the_cloud_config_form_a_cluster() {
    let Some(version) = Version::find("3.4") else { return };
    let set_up = SetUp::new();
    let _server = set_up.start();
    let block = with_token(&blocks("cloud-config", "yaml", &set_up)[0], &set_up);
    let variables: Vec<&str> =
        block.lines().map(str::trim).filter(|line| line.contains("=/") || line.contains("=http")).collect();
    assert_eq!(variables.len(), 6, "{block}");
    three_nodes_form_a_cluster(&version, 40, |node| {
        // The package's unit sets the name and the data directory.
        let variables = variables.join(" ").replace("{{ v1.local_hostname }}", &node.ip);
        node.adapt(&format!("ETCD_NAME={} ETCD_DATA_DIR=/var/lib/etcd {variables} exec etcd", node.name))
    });
}

/// One of the three machines that the page is about: a loopback address of its own, so that the page's ports are free.
struct Node {
    name: String,
    ip: String,
    data_dir: String,
}

impl Node {
    /// The lines of the page for this node.
    fn adapt(&self, lines: &str) -> String {
        let lines = lines.replace("$(hostname)", &self.name).replace("10.0.0.10", &self.ip);
        lines.replace("0.0.0.0", &self.ip).replace("/var/lib/etcd", &self.data_dir)
    }
}

/// Runs the lines on three nodes in `127.20.NET.0/24` until each is healthy and lists three members.
fn three_nodes_form_a_cluster(version: &Version, net: u8, lines: impl Fn(&Node) -> String) {
    let directory = tempfile::tempdir().unwrap();
    let node = |n: u8| Node {
        name: format!("infra{n}"),
        ip: format!("127.20.{net}.{}", n + 10),
        data_dir: directory.path().join(n.to_string()).display().to_string(),
    };
    let nodes: Vec<Node> = (0..3).map(node).collect();
    let path = format!("{}:{}", version.folder(), std::env::var("PATH").unwrap());
    let start = |node: &Node| {
        // `exec` makes etcd the process that ends with the test.
        let script = lines(node).replacen("etcd --", "exec etcd --", 1);
        Process::spawn(&node.name, Command::new("bash").args(["-euc", &script]).env("PATH", &path))
    };
    let running: Vec<Process> = nodes.iter().map(start).collect();
    for node in &nodes {
        let endpoint = format!("http://{}:2379", node.ip);
        let members = || version.etcdctl(&endpoint, &["member", "list"]).ok().map(|list| list.lines().count());
        let formed = wait_for(LIMIT, || members().filter(|count| *count == 3));
        let logs = || running.iter().map(Process::output).collect::<Vec<_>>().join("\n\n");
        assert!(formed.is_some(), "{} has no cluster of three:\n{}", node.name, logs());
    }
}

/// The blocks of one language from one section on, with the server's address and CA in place of the page's.
fn blocks(title: &str, language: &str, set_up: &SetUp) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/discovery.etcd.io-is-gone.md");
    let page = std::fs::read_to_string(page).unwrap().replace("discovery.corp:8087", &set_up.address());
    let page = page.replace("--cacert ca.crt", &format!("--cacert {}", ca(set_up)));
    let page = page.replace("=/etc/etcd/discovery-ca.crt", &format!("={}", ca(set_up)));
    let page =
        page.replace("--discovery-cacert /etc/etcd/discovery-ca.crt", &format!("--discovery-cacert {}", ca(set_up)));
    // To the end of the page: in a block, `##` is no heading.
    let section = page.split_once(&format!("\n## {title}\n")).unwrap().1;
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

/// The block with a new cluster's token in place of `TOKEN`.
fn with_token(block: &str, set_up: &SetUp) -> String {
    let url = shell(&format!("{} 'https://{}/new?size=3'", curl(set_up), set_up.address()));
    block.replace("TOKEN", url.rsplit_once('/').unwrap().1)
}

/// The server's CA, which the page has as a file of its own.
fn ca(set_up: &SetUp) -> String {
    set_up.path("ca.crt").display().to_string()
}

fn curl(set_up: &SetUp) -> String {
    format!("curl -fsS --cacert {}", ca(set_up))
}

/// What the lines print last.
fn shell(lines: &str) -> String {
    let output = Command::new("bash").args(["-euc", lines]).output().unwrap();
    assert!(output.status.success(), "{lines}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}
