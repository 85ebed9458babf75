//! Commands of administrators on a server that demands credentials.

use std::{fs, os::unix::fs::PermissionsExt};

use convene_harness::{convene::Convene, server::Server};
use tempfile::TempDir;

use super::{LIMIT, stdout};

#[test]
fn a_token_from_a_file_allows_what_its_role_allows() {
    let (server, admin) = Server::start_with_auth(&[]);
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(file("admin"), format!("{admin}\n")).unwrap();
    fs::set_permissions(file("admin"), fs::Permissions::from_mode(0o600)).unwrap();
    let run = |token: &str, arguments: &[&str]| {
        let call = Convene::new(arguments).env("CONVENE_SERVER", &server.url);
        let call = if token.is_empty() { call } else { call.env("CONVENE_ADMIN_TOKEN_FILE", file(token)) };
        call.run(LIMIT)
    };
    let create = ["cluster", "create", "--name", "prod"];
    let refused = run("", &create);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("the role admin") && refused.stderr.contains("--admin-token-file"), "{refused:?}");
    let url = stdout(run("admin", &create));
    assert!(url.starts_with(&server.url), "{url}");

    let id = stdout(run("admin", &["token", "create", "--role", "reader", "--name", "r", "--to", &file("reader")]));
    let mode = fs::metadata(file("reader")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = stdout(run("reader", &["cluster", "list"]));
    assert!(listed.contains("cl-") && listed.contains("prod"), "{listed}");
    let shown = stdout(run("reader", &["cluster", "show", "prod", "-o", "json"]));
    assert!(!shown.contains(url.trim().rsplit('/').next().unwrap()), "{shown}");
    let refused = run("reader", &["cluster", "pause", "prod"]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("the request needs the role operator for this cluster"), "{refused:?}");
    stdout(run("admin", &["cluster", "pause", "prod"]));
    let events = stdout(run("reader", &["cluster", "events", "prod"]));
    assert!(events.contains("tok-") && events.contains("127.0.0.1"), "{events}");
    let shown = stdout(run("admin", &["cluster", "show", "prod", "--show-token", "-o", "json"]));
    assert!(shown.contains(url.trim().rsplit('/').next().unwrap()), "{shown}");

    let tokens = stdout(run("admin", &["token", "list"]));
    assert!(tokens.contains(id.trim()) && !tokens.contains("cvn_"), "{tokens}");
    stdout(run("admin", &["token", "revoke", id.trim()]));
    let refused = run("reader", &["cluster", "list"]);
    assert!(refused.code == Some(3) && refused.stderr.contains("was revoked"), "{refused:?}");
}

#[test]
fn a_token_goes_to_no_other_machine_in_clear_text() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("cvn_{}", "A".repeat(43))).unwrap();
    let arguments = ["cluster", "list", "--server", "http://192.0.2.1:8087", "--insecure-discovery"];
    let refused = Convene::new(arguments).env("CONVENE_ADMIN_TOKEN_FILE", &file).run(LIMIT);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("in clear text") && !refused.stderr.contains("cvn_"), "{refused:?}");
}
