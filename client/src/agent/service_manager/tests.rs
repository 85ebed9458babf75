mod real_systemd;

use std::{os::unix::net::UnixDatagram as StdUnixDatagram, path::PathBuf};

use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::{agent::status::Publisher, boot_clock::BootInstant, cli::LogFormat};

/// Longer than anything here takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

const EXTENDED: &str = "EXTEND_TIMEOUT_USEC=30000000";

/// A service manager that records what it is sent.
struct FakeManager {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl FakeManager {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        Self { socket: UnixDatagram::bind(&path).unwrap(), path, _folder: folder }
    }

    /// The next message. One that only extends the time again may come at any time.
    async fn next(&self) -> String {
        let mut message = vec![0; 8192];
        loop {
            let length = timeout(LIMIT, self.socket.recv(&mut message)).await.expect("a message comes").unwrap();
            let text = String::from_utf8(message[..length].to_vec()).unwrap();
            if text != EXTENDED {
                return text;
            }
        }
    }

    fn has_nothing(&self) -> bool {
        self.socket.try_recv(&mut [0; 8192]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The agent's side of it.
    fn agent(&self, watchdog: Option<&str>) -> Arc<ServiceManager> {
        agent(self.path.to_str().unwrap(), watchdog)
    }
}

fn agent(socket: &str, watchdog: Option<&str>) -> Arc<ServiceManager> {
    let variable = |name: &str| match name {
        "NOTIFY_SOCKET" => Some(socket.into()),
        "WATCHDOG_USEC" => watchdog.map(OsString::from),
        _ => None,
    };
    Arc::new(ServiceManager::new(&variable, process::id(), progress()))
}

fn progress() -> Progress {
    Progress::new(LogFormat::Text, "")
}

fn publisher() -> Publisher {
    Publisher::new("infra0".parse().unwrap(), "prod".to_owned())
}

fn status(publisher: &Publisher) -> Status {
    publisher.subscribe().borrow().clone()
}

fn follow(agent: &Arc<ServiceManager>, publisher: &Publisher) {
    tokio::spawn(agent.clone().follow(publisher.subscribe()));
}

#[tokio::test]
async fn a_node_that_waits_is_given_time_and_each_change_is_shown() {
    let (manager, publisher) = (FakeManager::start(), publisher());
    follow(&manager.agent(None), &publisher);
    assert_eq!(manager.next().await, format!("{EXTENDED}\nSTATUS=checking: the agent starts (starting)"));
    publisher.enter(State::Waiting, "forming", "1 of 3 founders has checked in");
    let waiting = "STATUS=waiting: 1 of 3 founders has checked in (forming)";
    assert_eq!(manager.next().await, format!("{EXTENDED}\n{waiting}"));
    publisher.enter(State::Loading, "formed", "etcd starts");
    assert_eq!(manager.next().await, format!("{EXTENDED}\nSTATUS=loading: etcd starts (formed)"));
    publisher.enter(State::Voter, "healthy", "nothing to do");
    assert_eq!(manager.next().await, "READY=1\nSTATUS=voter: nothing to do (healthy)");
    // It is ready once.
    publisher.enter(State::Silent, "silent", "etcd does not answer");
    assert_eq!(manager.next().await, "STATUS=silent: etcd does not answer (silent)");
    publisher.enter(State::Voter, "healthy", "nothing to do");
    assert_eq!(manager.next().await, "STATUS=voter: nothing to do (healthy)");
}

#[tokio::test]
async fn learners_and_spares_are_ready_and_nobody_else_without_an_etcd() {
    for state in State::ALL {
        let (manager, publisher) = (FakeManager::start(), publisher());
        publisher.update(|status| {
            status.state = *state;
            true
        });
        follow(&manager.agent(None), &publisher);
        let message = manager.next().await;
        let (is_ready, is_extended) = (message.contains("READY=1\n"), message.contains(EXTENDED));
        let is_stopping = matches!(state, State::Stopping | State::Stopped);
        assert_eq!(is_ready, matches!(state, State::Learner | State::Voter | State::Spare), "{state}: {message}");
        assert_eq!(is_extended, !is_ready && !is_stopping, "{state}: {message}");
    }
}

#[tokio::test]
async fn signs_of_life_come_while_the_loop_turns() {
    let (manager, publisher) = (FakeManager::start(), publisher());
    publisher.enter(State::Spare, "full", "the cluster has all its voters");
    follow(&manager.agent(Some("200000")), &publisher);
    assert_eq!(manager.next().await, "READY=1\nSTATUS=spare: the cluster has all its voters (full)\nWATCHDOG=1");
    for _ in 0..3 {
        assert_eq!(manager.next().await, "WATCHDOG=1");
    }
}

#[tokio::test]
async fn an_agent_that_hangs_gives_no_sign_and_asks_for_no_time() {
    let (manager, publisher) = (FakeManager::start(), publisher());
    let agent = manager.agent(Some("30000000"));
    let mut reported = Reported::default();
    publisher.update(|status| {
        status.turned = BootInstant::ago(status.period * 3 + Duration::from_secs(1));
        true
    });
    agent.report(&status(&publisher), &mut reported).await;
    assert_eq!(manager.next().await, "STATUS=checking: the agent starts (starting)");
    agent.report(&status(&publisher), &mut reported).await;
    assert!(manager.has_nothing());
    publisher.update(|status| {
        status.turned = BootInstant::now();
        true
    });
    agent.report(&status(&publisher), &mut reported).await;
    assert_eq!(manager.next().await, format!("{EXTENDED}\nWATCHDOG=1"));
    // Half of the time has not passed.
    agent.report(&status(&publisher), &mut reported).await;
    reported.sign = Some(Instant::now() - Duration::from_secs(15));
    agent.report(&status(&publisher), &mut reported).await;
    assert_eq!(manager.next().await, format!("{EXTENDED}\nWATCHDOG=1"));
}

#[tokio::test]
async fn a_stop_and_a_reload_are_reported() {
    let manager = FakeManager::start();
    let agent = manager.agent(None);
    // The end of this reload would look like the end of the start.
    agent.reloading().await;
    agent.reloaded().await;
    agent.is_ready.store(true, Ordering::Relaxed);
    agent.reloading().await;
    let message = manager.next().await;
    let microseconds = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{message}"));
    let now = clock_gettime(ClockId::Monotonic).tv_sec;
    assert!((0..60).contains(&(now - microseconds.parse::<i64>().unwrap() / 1_000_000)), "{microseconds} at {now} s");
    agent.reloaded().await;
    assert_eq!(manager.next().await, "READY=1");
    agent.stopping().await;
    assert_eq!(manager.next().await, "STOPPING=1");
}

#[tokio::test]
async fn a_report_that_nobody_took_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let (agent, publisher) = (agent(path.to_str().unwrap(), Some("30000000")), publisher());
    publisher.enter(State::Spare, "full", "standing by");
    let mut reported = Reported::default();
    agent.report(&status(&publisher), &mut reported).await;
    let socket = UnixDatagram::bind(&path).unwrap();
    let manager = FakeManager { socket, path, _folder: folder };
    agent.report(&status(&publisher), &mut reported).await;
    assert_eq!(manager.next().await, "READY=1\nSTATUS=spare: standing by (full)\nWATCHDOG=1");
    agent.report(&status(&publisher), &mut reported).await;
    assert!(manager.has_nothing());
}

#[tokio::test]
async fn a_manager_that_does_not_read_stops_nobody() {
    let manager = FakeManager::start();
    let agent = manager.agent(None);
    // More than the socket holds, which is 10 by default in Linux.
    let filled = async { while agent.send("STATUS=x").await {} };
    timeout(LIMIT, filled).await.expect("a full socket is an error");
    manager.next().await;
    assert!(agent.send("STATUS=x").await);
}

#[tokio::test]
async fn texts_from_outside_add_no_line_and_fit() {
    let (manager, publisher) = (FakeManager::start(), publisher());
    follow(&manager.agent(None), &publisher);
    manager.next().await;
    publisher.enter(State::Waiting, "forming", &format!("a\nREADY=1\r\u{1b}[2J{}", "é".repeat(5_000)));
    let message = manager.next().await;
    let status = message.strip_prefix(&format!("{EXTENDED}\nSTATUS=waiting: a READY=1  [2J")).unwrap();
    assert!(!status.contains(crate::one_line::is_unsafe) && status.ends_with('é') && message.len() < 4_000, "{status}");
}

#[tokio::test]
async fn a_manager_with_an_abstract_socket_is_reached() {
    let name = format!("convene-test-{}", process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = StdUnixDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    assert!(agent(&format!("@{name}"), None).send("STOPPING=1").await);
    let mut message = [0; 64];
    let length = socket.recv(&mut message).unwrap();
    assert_eq!(&message[..length], b"STOPPING=1");
}

#[tokio::test]
async fn without_a_manager_nothing_is_reported() {
    let publisher = publisher();
    for socket in ["", "vsock:2:1", "relative", &format!("/{}", "x".repeat(200))] {
        let agent = agent(socket, Some("1000000"));
        assert!(agent.address.is_none(), "{socket}");
        assert!(agent.clone().follow(publisher.subscribe()).now_or_never().is_some(), "{socket}");
        agent.stopping().await;
    }
}

#[test]
fn the_watchdog_is_that_of_this_process() {
    let watchdog = |of: Option<&str>, microseconds: Option<&str>| {
        let variable = |name: &str| if name == "WATCHDOG_PID" { of } else { microseconds }.map(OsString::from);
        super::watchdog(&variable, 42)
    };
    assert_eq!(watchdog(Some("42"), Some("30000000")), Some(Duration::from_secs(30)));
    assert_eq!(watchdog(None, Some("30000000")), Some(Duration::from_secs(30)));
    for (of, microseconds) in [
        (Some("43"), Some("30000000")),
        (Some("x"), Some("30000000")),
        (Some("42"), None),
        (Some("42"), Some("0")),
        (Some("42"), Some("18446744073709551615")),
        (Some("42"), Some("soon")),
    ] {
        assert_eq!(watchdog(of, microseconds), None, "{of:?} {microseconds:?}");
    }
}
