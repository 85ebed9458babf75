//! Stock etcds find each other, and Convene takes over their cluster.

use super::*;

const PAGE: &str = "docs/discovery-only.md";

/// The text in the page's examples that readers replace with theirs.
const URL: &str = "https://discovery.corp:8087/0b751095ae7c3d024cd5d77e9614505e";

/// A unit that starts etcd alone, with the name and the data directory that Debian's unit has.
const UNIT: &str = "[Service]\nType=notify\nExecStart=/usr/local/bin/etcd\nEnvironmentFile=/etc/default/etcd\n\
                    Environment=ETCD_NAME=%H ETCD_DATA_DIR=/var/lib/etcd/%H\nUser=etcd\nStateDirectory=etcd\n\
                    [Install]\nWantedBy=multi-user.target\n";

mod large {
    use super::*;

    #[test]
    fn stock_etcds_find_each_other_and_their_cluster_is_adopted() {
        let Some(mut installation) = Installation::with_server("3.6") else { return };
        let mut page = Page::steps(PAGE);
        installation.server.types("install -m 644 /var/lib/convene/ca.crt ca.crt");
        let install = page.take("Before you start");
        for number in 0..3 {
            let node = installation.boot_node(number);
            installation.server.types(&format!("scp ca.crt {}:", node.name));
            node.types(&install);
            installation.nodes.push(node);
        }

        let (public, by_administrator) = (page.take("Create a discovery URL"), page.take("Create a discovery URL"));
        let (v2, v3) = (page.take("Start etcd with v2"), page.take("Start etcd with v3"));
        let check = page.take("How you know it worked");
        let url = printed_url(&installation.server.types(&public));
        installation.form_by_hand(&v2, &url, &check);
        let url = printed_url(&installation.server.types(&by_administrator));
        installation.form_by_hand(&v3, &url, &check);
        installation.administrator_types("convene cluster delete prod");

        let section = "URLs of a private registry";
        let printed = installation.server.types(&page.take(section));
        assert!(printed.contains("\"action\":\"set\""), "{printed}");
        let printed = installation.server.types(&page.take(section));
        assert!(printed.contains("OK"), "{printed}");
        page.finish();

        let url = printed_url(&installation.server.types(&public));
        installation.form_under_systemd(&url, &check);
        installation.adopt(&url);
    }
}

impl Installation {
    /// Types the lines that start etcd on each node, checks the cluster, and ends it without a trace.
    fn form_by_hand(&self, lines: &str, url: &str, check: &str) {
        for (number, node) in self.nodes.iter().enumerate() {
            // A reader would keep the terminal open.
            let lines = of_node(&with_url(lines, url), number);
            node.types(&format!("{} >etcd.log 2>&1 &\necho $! >etcd.pid", lines.trim_end()));
        }
        self.check_members(url, check);
        for node in &self.nodes {
            node.types("kill \"$(cat etcd.pid)\"; while [ -e \"/proc/$(cat etcd.pid)\" ]; do sleep 0.1; done; rm -r /var/lib/etcd");
        }
    }

    fn form_under_systemd(&self, url: &str, check: &str) {
        let settings = Page::read(PAGE).blocks("Start etcd with v2", "ini").remove(0);
        for (number, node) in self.nodes.iter().enumerate() {
            create_etcd_user(node);
            node.types("mkdir -p /etc/default");
            node.writes("/etc/default/etcd", &of_node(&with_url(&settings, url), number));
            node.writes("/etc/systemd/system/etcd.service", UNIT);
            start_etcd_unit(node);
        }
        self.check_members(url, check);
    }

    /// Asks etcd, once it serves, and the server.
    fn check_members(&self, url: &str, check: &str) {
        let node = self.node("infra0");
        node.types("until etcdctl --endpoints http://10.0.0.10:2379 endpoint health --cluster; do sleep 0.2; done");
        let printed = node.types(&format!("url={url}\n{check}"));
        assert_eq!(printed.matches("is healthy").count(), 3, "{printed}");
        assert!(["infra0=", "infra1=", "infra2="].iter().all(|member| printed.contains(member)), "{printed}");
    }

    /// Does what docs/adopt.md has for a cluster of stock etcds on this server.
    fn adopt(&self, url: &str) {
        let section = "Stock discovery on this server";
        let mut page = Page::steps_of("docs/adopt.md", section);
        let token = url.rsplit('/').next().expect("a URL has a last part");
        self.server.types(&page.take(section).replace("=TOKEN", &format!("={token}")));

        let any = "Any cluster";
        let mut steps = Page::steps_of("docs/adopt.md", any);
        steps.take_with(any, "convene cluster create");
        steps.take_with(any, "--dry-run --endpoints");
        steps.take_with(any, "cluster adopt");
        let (ask, change, resume) = (steps.take(any), steps.take(any), steps.take(any));
        for number in 0..3 {
            self.adopt_node(number, &ask, &change);
        }
        let last = page.take(section);
        let printed = self.administrator_types(&format!("token={token}\n{last}"));
        assert!(printed.contains("now has the name prod") && printed.contains("with a join token"), "{printed}");
        self.administrator_types(&resume);
        self.wait_for_crosscheck();
        page.finish();
    }
}

/// The URL that the last line of an output has.
#[track_caller]
fn printed_url(output: &str) -> String {
    let url = output.lines().rfind(|line| line.starts_with("https://"));
    url.unwrap_or_else(|| panic!("no URL: {output}")).to_owned()
}

/// Replaces the URL and the token of the page's examples.
fn with_url(example: &str, url: &str) -> String {
    let token = |url: &str| url.rsplit('/').next().expect("a URL has a last part").to_owned();
    example.replace(URL, url).replace(&token(URL), &token(url))
}
