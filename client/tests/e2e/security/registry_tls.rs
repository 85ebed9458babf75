//! How a node reaches the registry.

use std::{fs, os::unix::fs::PermissionsExt};

use convene_harness::{
    convene::{Convene, Ended},
    etcd::Version,
    server::Server,
    tls::Ca,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};

use super::raw_server::RawServer;
use crate::node::{LIMIT, Node, Registry};

const TOKEN: &str = "6c007a14875d53d9bf0ef5a6fc0257c8";

const WAIT: &str =
    r#"{"instruction":"wait","reason":"forming","message":"m","check_in_after_seconds":1,"revision":1,"epoch":1}"#;

fn dry_run(discovery: &str, more: &[&str]) -> Ended {
    let arguments = [&["join", "--dry-run", "--name=infra9", "--data-dir=/nowhere/data"], more].concat();
    Convene::new(arguments).secure().env("CONVENE_DISCOVERY", discovery).run(LIMIT)
}

pub fn pin(ca: &Ca) -> String {
    let ca = CertificateDer::from_pem_file(ca.file()).unwrap();
    let digits: String = Sha256::digest(&ca).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[test]
fn another_machine_is_called_in_clear_text_on_request_only() {
    // Nothing listens there; a node that connected would exit with 5.
    for host in ["10.255.255.1", "discovery.invalid", "[2001:db8::1]", "0.0.0.0"] {
        let ended = dry_run(&format!("http://{host}:8087/{TOKEN}"), &[]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("--insecure-discovery (CONVENE_INSECURE_DISCOVERY=true)"), "{}", ended.stderr);
        assert!(!ended.stderr.contains(TOKEN), "{}", ended.stderr);
    }
    let url = format!("http://discovery.invalid:8087/{TOKEN}");
    for allowed in
        [dry_run(&url, &["--insecure-discovery"]), dry_run(&format!("https://discovery.invalid/{TOKEN}"), &[])]
    {
        assert_eq!(allowed.code, Some(5), "{}", allowed.stderr);
    }
    let listing = Convene::new(["cluster", "list", "--server=http://10.255.255.1:8087"]).secure().run(LIMIT);
    assert_eq!(listing.code, Some(2), "{}", listing.stderr);
}

#[test]
fn a_pin_is_the_only_trust_and_nothing_is_sent_before_it_is_verified() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = RawServer::with_tls_and_json(&ca.node(), WAIT);
    let url = |host: &str, pin: &str| format!("https://{}/{TOKEN}#{pin}", server.address.replace("127.0.0.1", host));
    let other_ca = format!("--discovery-cacert={}", other.file().display());
    for (host, pin, more) in [
        ("127.0.0.1", pin(&other), None),
        ("127.0.0.1", format!("sha256:{}", "0".repeat(64)), None),
        ("[::ffff:127.0.0.1]", pin(&ca), None),
    ] {
        let ended = dry_run(&url(host, &pin), &more.map(|more: &str| vec![more]).unwrap_or_default());
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        assert!(ended.stderr.contains(&pin) || ended.stderr.contains("is for another host"), "{}", ended.stderr);
    }
    assert!(server.connections() >= 3);
    assert_eq!(server.received_bytes(), 0);

    // A pin decides alone, also if another CA is given.
    for more in [&[][..], &[other_ca.as_str()]] {
        let ended = dry_run(&url("127.0.0.1", &pin(&ca)), more);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout, "# next: wait (forming): m\n");
    }
    // Without it, the given CA does.
    let unpinned = format!("https://{}/{TOKEN}", server.address);
    assert_eq!(dry_run(&unpinned, &[&other_ca]).code, Some(5));
    assert_eq!(dry_run(&unpinned, &[&format!("--discovery-cacert={}", ca.file().display())]).code, Some(0));
    let wrong = dry_run(&format!("{unpinned}#sha256:12"), &[]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains(TOKEN), "{}", wrong.stderr);
}

#[test]
fn a_node_joins_at_a_real_server_with_a_pin_and_a_client_certificate() {
    let Some(version) = Version::all().pop() else { return };
    let (ca, other) = (Ca::new(), Ca::new());
    let mut identity = ca.node();
    let chain = [&identity.certificate, &identity.ca].map(|file| fs::read_to_string(file).unwrap()).concat();
    identity.certificate = identity.certificate.with_file_name("chain.crt");
    fs::write(&identity.certificate, chain).unwrap();
    let server = Server::start_with_tls(&identity, &["--tls-client-ca", ca.file().to_str().unwrap()]);
    let with_certificate = |ca: &Ca| {
        let identity = ca.client("infra0");
        [("cert", &identity.certificate), ("key", &identity.key)]
            .map(|(flag, file)| format!("--discovery-{flag}={}", file.display()))
    };
    let (own, foreign) = (with_certificate(&ca), with_certificate(&other));

    let pinned = format!("{}#{}", server.url, pin(&ca));
    let created =
        Convene::new(["cluster", "create", "--size=1", "--server", &pinned, &own[0], &own[1]]).secure().run(LIMIT);
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    let url = created.stdout.trim();
    assert!(url.starts_with(&server.url) && url.ends_with(&pin(&ca)), "{url}");

    let node = Node::new(&version, &Registry::at(url.to_owned()), "infra0");
    let refused = node.call("join", &["--dry-run", &foreign[0], &foreign[1]]).secure().run(LIMIT);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(5), ""), "{}", refused.stderr);
    let joined = node.call("join", &["--no-promote", &own[0], &own[1]]).secure().run(LIMIT);
    assert_eq!(joined.code, Some(0), "{}", joined.stderr);
    assert!(joined.stdout.contains("ETCD_INITIAL_CLUSTER_STATE=new"), "{}", joined.stdout);
    let shown = Convene::new(["status", &own[0], &own[1]]).secure().env("CONVENE_DISCOVERY", url).run(LIMIT);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
}

#[test]
fn secrets_are_read_from_files_and_warned_of_on_the_command_line() {
    let server = Server::start();
    let create = ["cluster", "create", "--server", &server.url, "--size=1"];
    let url = Convene::new(create).run(LIMIT).stdout.trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("discovery");
    fs::write(&file, format!("{url}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let by_file = format!("--discovery-file={}", file.display());

    let silent = Convene::new(["status", &by_file]).run(LIMIT);
    assert_eq!((silent.code, silent.stderr.as_str()), (Some(0), ""));
    // It has precedence over a variable, such as that of etcd.
    let silent = Convene::new(["cluster", "show", &by_file]).env("ETCD_DISCOVERY", "http://127.0.0.1:1/x").run(LIMIT);
    assert_eq!((silent.code, silent.stderr.as_str()), (Some(0), ""));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let read_by_others = Convene::new(["status", &by_file]).run(LIMIT);
    assert!(read_by_others.stderr.contains(&format!("run `chmod o= {}`", file.display())), "{}", read_by_others.stderr);

    let shown = Convene::new(["status", "--discovery", &url, "--user=root:my-password"]).run(LIMIT);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for warning in ["use --discovery-file or CONVENE_DISCOVERY", "use CONVENE_USER"] {
        assert!(shown.stderr.contains(warning), "{}", shown.stderr);
    }
    assert!(!shown.stderr.contains("my-password") && !shown.stderr.contains(url.rsplit_once('/').unwrap().1));
    let of_variables =
        Convene::new(["status"]).env("CONVENE_DISCOVERY", &url).env("CONVENE_USER", "root:my-password").run(LIMIT);
    assert_eq!((of_variables.code, of_variables.stderr.as_str()), (Some(0), ""));

    for (contents, found) in [("", "is not a URL"), ("http://127.0.0.1:1", "must end with the token")] {
        fs::write(&file, contents).unwrap();
        let refused = Convene::new(["status", &by_file]).run(LIMIT);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(found), "{}", refused.stderr);
    }
}
