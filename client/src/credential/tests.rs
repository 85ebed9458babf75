use std::{cell::RefCell, fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use super::*;
use crate::registry::Problem;

/// A server that admits one credential at a time, by its rules.
#[derive(Default)]
struct Server {
    bound: RefCell<Option<String>>,
    next: RefCell<Option<String>>,
    revoked: RefCell<Vec<String>>,
    asked: RefCell<Vec<Shown>>,
}

impl Server {
    async fn answer(&self, shown: Shown) -> Result<(), RegistryError> {
        self.asked.borrow_mut().push(shown.clone());
        let credential = shown.credential.unwrap();
        let hash = hash_of(&credential);
        if self.revoked.borrow().contains(&credential) {
            return Err(denied("credential-revoked"));
        }
        if self.next.borrow().as_ref() == Some(&hash) {
            self.next.take();
            *self.bound.borrow_mut() = Some(credential.clone());
        }
        let mut bound = self.bound.borrow_mut();
        match (bound.as_ref(), shown.join_token) {
            (Some(bound), _) if *bound == credential => {}
            (_, Some(_)) => *bound = Some(credential),
            (Some(_), None) => return Err(denied("node-bound")),
            (None, None) => return Err(denied("join-token-required")),
        }
        *self.next.borrow_mut() = shown.next.or(self.next.take());
        Ok(())
    }

    /// What the check-ins have shown since the last call: whether there was a join token, and an announcement.
    fn asked(&self) -> Vec<(bool, bool)> {
        self.asked.take().into_iter().map(|shown| (shown.join_token.is_some(), shown.next.is_some())).collect()
    }
}

fn denied(code: &str) -> RegistryError {
    denied_with(code, code)
}

fn denied_with(code: &str, detail: &str) -> RegistryError {
    let problem = json!({ "status": 403, "title": "The node is not admitted", "detail": detail, "code": code });
    RegistryError::Denied(serde_json::from_value::<Problem>(problem).unwrap())
}

fn credentials(path: &Path, join_token: Option<&str>) -> Credentials {
    let owner = stored::Owner::new(&"one".parse().unwrap(), &"infra0".parse().unwrap());
    let join_token = join_token.map(str::to_owned);
    Credentials { join_token, ..Credentials::without_join_token(CredentialFile::at(path, owner)) }
}

async fn check_in(credentials: &Credentials, server: &Server) -> Result<(), String> {
    let send = async |shown| server.answer(shown).await;
    credentials.check_in(false, send).await.map(drop).map_err(|error| error.denial().unwrap_or("other").to_owned())
}

#[tokio::test]
async fn a_join_token_is_sent_until_the_credential_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, server) = (folder.path().join("credential"), Server::default());
    assert_eq!(check_in(&credentials(&path, None), &server).await, Err("join-token-required".to_owned()));
    let with_token = credentials(&path, Some("cvnj_1"));
    check_in(&with_token, &server).await.unwrap();
    check_in(&with_token, &server).await.unwrap();
    assert_eq!(server.asked(), [(false, false), (true, false), (false, false)]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    // The registry was lost.
    server.bound.take();
    check_in(&with_token, &server).await.unwrap();
    assert_eq!(server.asked(), [(false, false), (true, false)]);
}

#[tokio::test]
async fn an_old_credential_is_announced_and_then_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, server) = (folder.path().join("credential"), Server::default());
    let credentials = credentials(&path, Some("cvnj_1"));
    check_in(&credentials, &server).await.unwrap();
    let mut stored = credentials.file.read().unwrap().unwrap();
    let first = stored.credential.clone();
    stored.made_at -= RENEW_AFTER.as_secs() + 1;
    credentials.file.replace(&stored).unwrap();
    server.asked();
    for expected in [(false, true), (false, false), (false, false)] {
        check_in(&credentials, &server).await.unwrap();
        assert_eq!(server.asked(), [expected]);
    }
    let renewed = credentials.file.read().unwrap().unwrap();
    assert!(renewed.credential != first && renewed.previous.is_none() && renewed.next.is_none(), "{renewed:?}");
    assert_eq!(server.bound.borrow().as_ref(), Some(&renewed.credential));
}

#[tokio::test]
async fn a_registry_that_has_lost_the_announcement_gets_the_credential_before() {
    let folder = tempfile::tempdir().unwrap();
    let (path, server) = (folder.path().join("credential"), Server::default());
    let credentials = credentials(&path, Some("cvnj_1"));
    check_in(&credentials, &server).await.unwrap();
    let mut stored = credentials.file.read().unwrap().unwrap();
    let first = stored.credential.clone();
    stored.announce();
    stored.admitted(SystemTime::now());
    assert!(stored.credential != first);
    credentials.file.replace(&stored).unwrap();
    check_in(&credentials, &server).await.unwrap();
    assert_eq!(credentials.file.read().unwrap().unwrap().credential, first);
}

#[tokio::test]
async fn a_revoked_credential_is_replaced_if_there_is_a_join_token() {
    let folder = tempfile::tempdir().unwrap();
    let (path, server) = (folder.path().join("credential"), Server::default());
    check_in(&credentials(&path, Some("cvnj_1")), &server).await.unwrap();
    let first = credentials(&path, None).file.read().unwrap().unwrap().credential;
    server.revoked.borrow_mut().push(first.clone());
    assert_eq!(check_in(&credentials(&path, None), &server).await, Err("credential-revoked".to_owned()));
    server.bound.take();
    check_in(&credentials(&path, Some("cvnj_2")), &server).await.unwrap();
    assert!(credentials(&path, None).file.read().unwrap().unwrap().credential != first);
}

/// A read-only disk, or a secret of Kubernetes.
#[tokio::test]
async fn a_credential_that_cannot_be_written_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, server) = (folder.path().join("credential"), Server::default());
    let credentials = credentials(&path, Some("cvnj_1"));
    check_in(&credentials, &server).await.unwrap();
    let mut stored = credentials.file.read().unwrap().unwrap();
    stored.made_at -= RENEW_AFTER.as_secs() + 1;
    credentials.file.replace(&stored).unwrap();
    let first = stored.credential.clone();
    // Nothing can be written beside the file.
    let blocked = folder.path().join(format!("credential.{}.new", std::process::id()));
    fs::create_dir(&blocked).unwrap();
    server.asked();
    for _ in 0..3 {
        check_in(&credentials, &server).await.unwrap();
    }
    assert_eq!(server.asked(), [(false, false); 3], "no credential is announced that is not on disk");
    let problem = credentials.new_problem().unwrap();
    assert!(problem.contains("cannot create the credential of this node"), "{problem}");
    assert_eq!(credentials.new_problem(), None, "it is told once");

    // The new one is announced, and then can't take the place of the one before.
    fs::remove_dir(&blocked).unwrap();
    stored.announce();
    credentials.file.replace(&stored).unwrap();
    fs::create_dir(&blocked).unwrap();
    for _ in 0..3 {
        check_in(&credentials, &server).await.unwrap();
    }
    assert_eq!(server.bound.borrow().as_ref(), Some(&first));
    fs::remove_dir(&blocked).unwrap();
    for _ in 0..3 {
        check_in(&credentials, &server).await.unwrap();
    }
    assert!(server.bound.borrow().as_ref() != Some(&first));

    // What was there is not lost while the node runs.
    let last = server.bound.borrow().clone();
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    check_in(&credentials, &server).await.unwrap();
    credentials.known.borrow_mut().as_mut().unwrap().made_at -= RENEW_AFTER.as_secs() + 1;
    check_in(&credentials, &server).await.unwrap();
    assert!(!path.exists(), "a renewal is not written to what may be mounted in its place");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    check_in(&credentials, &server).await.unwrap();
    assert_eq!(*server.bound.borrow(), last);
}

#[tokio::test]
async fn a_refused_node_without_a_credential_learns_that_its_disk_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let refuse = async |credentials: &Credentials, code: &str| {
        let send = async |_| Err::<(), _>(denied_with(code, "node infra0 has another credential; create a join token"));
        credentials.check_in(false, send).await.unwrap_err().to_string()
    };
    let hint = format!(
        "node infra0 has another credential; there was no credential at {}, so the node has made a new one: if its disk is not mounted, \
         mount it and start again; otherwise, create a join token (",
        path.display()
    );
    let new = credentials(&path, Some("cvnj_1"));
    let message = refuse(&new, "node-bound").await;
    assert!(message.contains(&hint), "{message}");
    let message = refuse(&new, "join-token-used").await;
    assert!(!message.contains("mounted"), "{message}");
    check_in(&new, &Server::default()).await.unwrap();
    let message = refuse(&new, "node-bound").await;
    assert!(!message.contains("mounted"), "it has been admitted: {message}");
}

/// The name of the node was revoked, and a join token for any name does not give it back.
#[tokio::test]
async fn a_refused_join_token_makes_one_credential_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = credentials(&folder.path().join("credential"), Some("cvnj_1"));
    let asked = RefCell::new(Vec::new());
    for _ in 0..3 {
        let send = async |shown: Shown| {
            asked.borrow_mut().push(shown.credential.unwrap());
            Err::<(), _>(denied("credential-revoked"))
        };
        let refused = credentials.check_in(false, send).await.unwrap_err();
        assert_eq!(refused.denial(), Some("credential-revoked"));
    }
    let asked = asked.into_inner();
    assert!(asked.len() == 4 && asked[0] != asked[1], "{asked:?}");
    assert!(asked[1..].iter().all(|credential| *credential == asked[1]), "{asked:?}");
}

#[tokio::test]
async fn a_dry_run_leaves_no_credential() {
    let folder = tempfile::tempdir().unwrap();
    let (path, server) = (folder.path().join("credential"), Server::default());
    let credentials = credentials(&path, Some("cvnj_1"));
    credentials.check_in(true, async |shown| server.answer(shown).await).await.unwrap();
    assert_eq!(server.asked(), [(true, false)]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_file_of_another_node_and_one_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let own = credentials(&path, None);
    let other = stored::Owner::new(&"one".parse().unwrap(), &"infra1".parse().unwrap());
    own.file.replace(&Stored::draw(&other)).unwrap();
    assert!(matches!(own.file.read(), Err(CredentialError::OfOther { .. })));
    let elsewhere = stored::Owner::new(&"two".parse().unwrap(), &"infra0".parse().unwrap());
    own.file.replace(&Stored::draw(&elsewhere)).unwrap();
    let error = own.file.read().unwrap_err().to_string();
    assert!(error.contains("node infra0 in another cluster"), "{error}");
    own.file.replace(&Stored::draw(own.file.owner())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(own.file.read(), Err(CredentialError::Exposed(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in ["", "{}", "cvnn_abc", &fs::read_to_string(&path).unwrap().replace("cvnn_", "cvn_")] {
        fs::write(&path, wrong).unwrap();
        assert!(matches!(own.file.read(), Err(CredentialError::Content { .. })), "{wrong}");
    }
}

#[test]
fn of_two_processes_that_create_the_credential_both_use_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = credentials(&folder.path().join("credential"), None).file;
    let first = file.create(&Stored::draw(file.owner())).unwrap();
    let second = file.create(&Stored::draw(file.owner())).unwrap();
    assert_eq!(first.credential, second.credential);
}
