//! Right before a removal, the node looks again.

use std::{fs, time::Duration};

use convene_harness::{etcd::Version, wait_for};

use super::{form, member_id};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Registry, copy_directory, with_each},
};

/// The spare stands still between its instruction and the removal. The member comes back meanwhile.
#[test]
fn a_spare_that_was_suspended_does_not_remove_a_member_that_is_back() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let id = member_id(version, &machines[1]);
        let spare = Machine::start(version, &registry, "infra3");
        spare.wait_for_log("stand_by (full)", LIMIT);
        machines[1].stop();
        spare.wait_for_log("remove_member", LIMIT);
        spare.signal_join("STOP");
        let list = version.etcdctl(&machines[0].place.client_url, &["member", "list"]).unwrap();
        if !list.contains(&id) {
            // The removal was faster than the signal. That shows nothing.
            eprintln!("etcd {}: the member was removed before the spare stood still", version.name);
            return;
        }
        machines[1].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        spare.signal_join("CONT");
        let removed = wait_for(Duration::from_secs(12), || {
            let list = version.etcdctl(&machines[0].place.client_url, &["member", "list"]).ok()?;
            (!list.contains(&id)).then_some(())
        });
        assert_eq!(removed, None, "{}", spare.log());
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
    });
}

/// A member's disk goes back to an older copy. What it acknowledged since then is gone from it.
#[test]
fn a_member_whose_data_went_back_does_not_start_with_it() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let before = member_id(version, &machines[1]);
        let data = machines[1].place.data_dir();
        let copy = tempfile::tempdir().unwrap();
        machines[1].stop();
        copy_directory(&data, &copy.path().join("data"));
        machines[1].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        for number in 0..200 {
            version.etcdctl(&machines[0].place.client_url, &["put", &format!("key{number}"), "value"]).unwrap();
        }
        // The look of another node's client tells the registry how far the member is.
        let spare = Machine::start(version, &registry, "infra3");
        spare.wait_for_log("stand_by (full)", LIMIT);

        machines[1].stop();
        fs::remove_dir_all(&data).unwrap();
        copy_directory(&copy.path().join("data"), &data);
        machines[1].go_on();
        machines[1].wait_for_log("data_rolled_back", LIMIT);
        let replaced = wait_for(LIMIT, || {
            let list = version.etcdctl(&machines[0].place.client_url, &["member", "list"]).ok()?;
            (!list.contains(&before)).then_some(())
        });
        replaced.unwrap_or_else(|| panic!("{}\n{}", machines[1].log(), spare.log()));
    });
}
