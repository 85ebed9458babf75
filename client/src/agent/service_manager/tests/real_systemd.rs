//! A real systemd understands the agent. The service is this test program itself.

use std::env::current_exe;

use convene_harness::systemd::Systemd;
use tokio::signal::unix::{SignalKind, signal};

use super::*;

/// Set for the service.
const IN_UNIT: &str = "CONVENE_TEST_IN_UNIT";

const UNIT: &str = "node.service";

#[test]
fn systemd_waits_for_a_node_that_waits_and_kills_one_that_hangs() {
    let program = current_exe().unwrap();
    // A start may take two seconds, and the agent waits for more.
    let unit = format!(
        "[Service]
Type=notify
NotifyAccess=main
ExecStart={} --exact agent::service_manager::tests::real_systemd::the_agent_in_the_unit --nocapture
ExecReload=/bin/kill -HUP $MAINPID
TimeoutStartSec=2
WatchdogSec=3
Environment={IN_UNIT}=1
UnsetEnvironment=LD_LIBRARY_PATH
",
        program.display()
    );
    let Some(systemd) = Systemd::start(&[(UNIT, &unit)]) else { return };
    let run =
        |arguments: &[&str]| systemd.systemctl(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
    let wait_for_property =
        |property: &str, value: &str| systemd.wait_for_property(UNIT, property, |found| found == value);

    run(&["start", "--no-block", UNIT]);
    wait_for_property("StatusText", "waiting: 1 of 3 founders has checked in (forming)");
    wait_for_property("StatusText", "waiting: still 1 of 3 after 5 s (forming)");
    wait_for_property("ActiveState", "activating");
    run(&["kill", "--signal=USR1", UNIT]);
    wait_for_property("ActiveState", "active");
    wait_for_property("StatusText", "spare: the cluster has all its voters (full)");

    run(&["reload", UNIT]);
    wait_for_property("StatusText", "spare: reloaded (full)");
    wait_for_property("ActiveState", "active");

    // It lives for longer than the watchdog's time, and not without a sign of life.
    wait_for_property("StatusText", "spare: 5 s later (full)");
    run(&["kill", "--signal=USR2", UNIT]);
    wait_for_property("Result", "watchdog");

    run(&["start", "--no-block", UNIT]);
    wait_for_property("ActiveState", "activating");
    wait_for_property("StatusText", "waiting: 1 of 3 founders has checked in (forming)");
    run(&["stop", UNIT]);
    wait_for_property("ActiveState", "inactive");
    assert_eq!(run(&["show", UNIT, "--value", "-p", "Result"]).trim_end(), "success");
}

/// Waits until SIGUSR1, and is a spare from then on. Hangs after SIGUSR2.
#[tokio::test]
async fn the_agent_in_the_unit() {
    if env::var_os(IN_UNIT).is_none() {
        return;
    }
    let mut signals =
        [SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::hangup(), SignalKind::terminate()]
            .map(|kind| signal(kind).unwrap());
    let [ready, hang, reload, stop] = &mut signals;
    let publisher = publisher();
    let agent = ServiceManager::from_environment(progress());
    tokio::spawn(agent.clone().follow(publisher.subscribe()));
    publisher.update(|status| {
        status.period = Duration::from_millis(500);
        false
    });
    publisher.enter(State::Waiting, "forming", "1 of 3 founders has checked in");
    let mut later = Box::pin(sleep(Duration::from_secs(5)));
    let mut turns = true;
    loop {
        tokio::select! {
            _ = ready.recv() => publisher.enter(State::Spare, "full", "the cluster has all its voters"),
            _ = hang.recv() => turns = false,
            _ = reload.recv() => {
                agent.reloading().await;
                publisher.enter(State::Spare, "full", "reloaded");
                agent.reloaded().await;
                later = Box::pin(sleep(Duration::from_secs(5)));
            }
            _ = stop.recv() => return agent.stopping().await,
            () = &mut later => {
                match status(&publisher).state {
                    State::Spare => publisher.enter(State::Spare, "full", "5 s later"),
                    state => publisher.enter(state, "forming", "still 1 of 3 after 5 s"),
                }
                later = Box::pin(sleep(Duration::from_secs(3600)));
            }
            () = sleep(Duration::from_millis(100)), if turns => publisher.update(|status| {
                status.turned = BootInstant::now();
                false
            }),
        }
    }
}
