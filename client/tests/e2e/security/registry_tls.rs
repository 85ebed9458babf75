//! How a node reaches the registry.

use std::{fs, os::unix::fs::PermissionsExt};

use convene_harness::{
    convene::{Convene, Ended},
    server::Server,
    tls::Ca,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};

use super::raw_server::RawServer;
use crate::node::LIMIT;

const TOKEN: &str = "6c007a14875d53d9bf0ef5a6fc0257c8";

const WAIT: &str =
    r#"{"instruction":"wait","reason":"forming","message":"m","check_in_after_seconds":1,"revision":1,"epoch":1}"#;

fn dry_run(discovery: &str, more: &[&str]) -> Ended {
    let arguments = [&["join", "--dry-run", "--name=infra9", "--data-dir=/nowhere/data"], more].concat();
    Convene::new(arguments).secure().env("CONVENE_DISCOVERY", discovery).run(LIMIT)
}

fn pin(ca: &Ca) -> String {
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
        assert!(ended.stderr.contains(&pin) || ended.stderr.contains("not valid for name"), "{}", ended.stderr);
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
