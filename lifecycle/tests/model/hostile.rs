//! The larger world: what the state space of the exhaustive model can't hold.
//!
//! A [`world::World`] has a clock, machines with disks and processes, etcd clusters with leaders, logs and counters, and a network in
//! which each machine may fail to open connections to each other one. On top of the faults of the exhaustive model:
//!
//! - Somebody who knows the token makes up reports and writes by v2 discovery ([`forgery::Forgery`]).
//! - A machine is copied while it runs or not, and the copy comes up at another address, or as a restore drill
//!   (`--force-new-cluster`) with the same IDs.
//! - Machines and clients are suspended, so instructions are executed late, and etcd receives requests late.
//! - etcd ends after each start, joiners can't join, and nodes may not change the membership.
//! - Mounts are missing, and there again.
//! - Members move to other addresses. The registry's database goes back to a copy.
//! - Clients run for etcd's whole life (`convene run`), or end once etcd runs (`convene join`), mixed in one cluster.
//!
//! Two barriers are checked, each without the other: the planner (with clients that do as they are instructed), and the client's own
//! verification (with a server that lies). [`rules::Broken`] has the properties. In the end of each history nothing fails any
//! more, and the cluster has to become whole if it can: see [`World::can_be_whole`](world::World::can_be_whole).
//!
//! [`walk`] walks through all of it at random, with a seed; [`search`] searches all histories of a few steps. What is bounded:
//!
//! - Five machines; the budget of a search; 250 steps of a random history.
//! - A copy that neither the node nor the registry can see ends its history: no rule helps there. The registry keeps one check-in a
//!   name, so that of a namesake, or a forged one, hides another. A check-in counts for `max_check_in_gap`.
//! - A copy is of data that has had a leader, and it is not at the address of a member. The cluster need not become whole after
//!   two members exchanged their addresses, or after a member moved whose client has ended.
//! - A person helps a founder that has moved, has lost its data or its mount, whose etcd ends after each start, or that has
//!   started without the registry before the cluster had a leader, and a member that seems to have lost entries because
//!   somebody made up how far it was. The lying server may cost the quorum, promote a learner that nobody reaches, and keep the
//!   cluster from becoming whole: clients do not verify these.
//! - After made-up reports about the founders, a node may be instructed to bootstrap next to data of a cluster that it can't see. That
//!   counts as a second cluster once it has a leader, and only if a quorum of the first one has its data. A person restarts an etcd
//!   without a leader whose attempt was given up in these reports.
//! - The registry notices that its database went back, and does not go back to a copy in which the cluster exists but a founder has
//!   not started. An administrator answers a hold, and a record that contradicts etcd's list, after five minutes.
//! - Nobody lowers the size while v2 discovery has deleted a key, because nobody looks then.
//! - Data of a removed member stays if its cluster has no member left that the data knows.
//! - Not modelled: forged `leaving` reports (who knows the token may evict anyway), unreadable data, pausing, downtimes, strategies
//!   other than `replace`, versions of etcd, resets by an administrator while there is data, several servers.

mod client;
mod display;
mod forgery;
mod large;
mod mutants;
mod raft;
mod random;
mod registry;
mod rules;
mod search;
mod setting;
mod sight;
mod steps;
mod walk;
mod world;

use forgery::Forgery;
use rules::{Broken, ClientRules, Rules};
use search::{Scope, holds};
use setting::Setting;
use steps::Step;
use walk::{History, Kind, catches, describe, replay, walk};
use world::Flaw;

/// The faults against which the planner protects a cluster without the help of its clients.
const WITHOUT_FORGERIES: [Kind; 6] =
    [Kind::Power, Kind::Disks, Kind::Network, Kind::Flaws, Kind::Registry, Kind::Administration];

/// What a lying server can't make a careful client do. It can keep the cluster from becoming whole.
const AGAINST_LIES: Rules = Rules {
    planner: mutants::lies,
    is_honest: false,
    settles: false,
    off: &[Broken::NeverWhole, Broken::QuorumLost, Broken::UnreachablePromoted],
    ..Rules::REAL
};

/// The faults that meet a thief. Disks that are not mounted concern the founding, and the other walks have them.
const WITH_A_THIEF: [Kind; 10] = [
    Kind::Power,
    Kind::Disks,
    Kind::Network,
    Kind::Suspension,
    Kind::Flaws,
    Kind::Copies,
    Kind::Forgeries,
    Kind::Registry,
    Kind::Administration,
    Kind::Addresses,
];

/// Each node speaks for itself.
const WITH_CREDENTIALS: Rules = Rules { has_credentials: true, ..Rules::REAL };

/// The planner alone: clients do as they are instructed.
const OBEDIENT: Rules = Rules { client: ClientRules::OBEDIENT, settles: false, ..Rules::REAL };

/// A restore drill runs with the data of a member, and the member's node looks at it. One of the other two members is evicted, and off.
/// The node of the third one sees only the drill, whose list has neither of them.
#[test]
fn an_eviction_does_not_let_a_drill_remove_the_other_members() {
    let steps = vec![
        Step::Round,
        Step::PowerOff(2),
        Step::Copy(2, 3),
        Step::Drill(3),
        Step::Pass(10),
        Step::Round,
        Step::StopEtcd(3),
        Step::Round,
        Step::Round,
        Step::PowerOff(0),
        Step::Round,
        Step::Evict(0),
        Step::Round,
    ];
    let setting = Setting { joins_only: 1 << 2, ..Setting::running(3, 5) };
    let history = History { setting, steps, all_return: false };
    assert_eq!(replay(&history, &Rules::REAL), None, "{}", describe(&history, &Rules::REAL));
}

/// Rule 1: whatever is made up about three members, they come back from a power cut with their data.
#[test]
fn made_up_reports_set_no_data_aside() {
    let scope = Scope {
        name: "1 or 2 forgeries, then a power cut",
        setting: Setting::running(3, 3),
        first: &[],
        steps: &[Step::PowerCut, Step::Round, Step::Pass(61)],
        faults: &[
            Step::Forge(Forgery::ListOfAStranger),
            Step::Forge(Forgery::ListWithout(0)),
            Step::Forge(Forgery::ListWithout(1)),
            Step::Forge(Forgery::SeesOthersDown(0)),
            Step::Forge(Forgery::SeesOthersDown(1)),
            Step::Forge(Forgery::OtherCluster(0)),
            Step::Forge(Forgery::OtherCluster(1)),
            Step::Forge(Forgery::RunsElsewhere(0)),
            Step::Forge(Forgery::RunsElsewhere(1)),
            Step::Forge(Forgery::Stopped(0)),
            Step::Forge(Forgery::Stopped(1)),
            Step::Forge(Forgery::Starts(1)),
            Step::Forge(Forgery::Empty(0)),
            Step::Forge(Forgery::Empty(1)),
            Step::Forge(Forgery::LaterView),
            Step::Forge(Forgery::DeleteKey(0)),
            Step::Forge(Forgery::DeleteKey(1)),
            Step::Forge(Forgery::RotateNames),
        ],
        most_faults: 2,
        depth: 4,
    };
    holds(&scope, &Rules::REAL);
}

/// Rules 1 and 8: whatever is made up about founders before the registry has seen a leader, they come back from a power cut.
#[test]
fn made_up_reports_give_up_no_cluster() {
    let scope = Scope {
        name: "2 founders whose clients have ended, and forged reports about both",
        setting: Setting { joins_only: 0b11, ..Setting::forming(2, 3) },
        first: &[],
        steps: &[Step::Visit(0), Step::Visit(1), Step::Visit(2), Step::Pass(31)],
        faults: &[
            Step::Forge(Forgery::FoundersEmpty),
            Step::Forge(Forgery::FoundersNeverLed),
            Step::PowerCut,
            Step::PowerOff(0),
            Step::LoseDisk(0),
            Step::PowerOn(0),
        ],
        most_faults: 3,
        depth: 7,
    };
    holds(&scope, &Rules::REAL);
}

/// Rule 2: a copy that comes up elsewhere does not run beside its original.
#[test]
fn a_copy_never_runs_beside_its_original() {
    let scope = Scope {
        name: "a copy of one of two members",
        setting: Setting::running(2, 3),
        first: &[Step::Copy(0, 2)],
        steps: &[
            Step::Visit(0),
            Step::Visit(1),
            Step::Visit(2),
            Step::Act(0),
            Step::CheckIn(2),
            Step::Act(2),
            Step::Pass(31),
        ],
        faults: &[
            Step::PowerOff(0),
            Step::PowerOn(0),
            Step::StopEtcd(0),
            Step::StopEtcd(2),
            Step::Cut(2, 0),
            Step::Cut(0, 2),
            Step::FreezeClient(2),
            Step::Thaw(2),
        ],
        most_faults: 2,
        depth: 5,
    };
    holds(&scope, &Rules::REAL);
}

/// Rule 3: a spare that does not reach a member, and a client that executes its instruction late.
#[test]
fn a_member_that_a_spare_does_not_reach_stays() {
    let scope = Scope {
        name: "cuts between a spare and three members without clients",
        setting: Setting { joins_only: 0b111, ..Setting::running(3, 4) },
        first: &[Step::Round],
        steps: &[Step::CheckIn(3), Step::Act(3), Step::Pass(4), Step::Pass(31)],
        faults: &[Step::Cut(3, 0), Step::Cut(3, 1), Step::Cut(0, 1), Step::Cut(1, 0), Step::Freeze(1), Step::Thaw(1)],
        most_faults: 2,
        depth: 8,
    };
    holds(&scope, &Rules { settles: false, ..Rules::REAL });
}

/// Rule 3: a member that comes back while a suspended client is about to remove it.
#[test]
fn a_member_that_comes_back_is_not_removed_late() {
    const SILENT: &[Step] = &[
        Step::PowerOff(2),
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
        Step::Round,
    ];
    let scope = Scope {
        name: "a dead member, and a spare that is suspended",
        setting: Setting::running(3, 4),
        first: SILENT,
        steps: &[Step::CheckIn(3), Step::Act(3), Step::Visit(2), Step::Visit(0), Step::Pass(6), Step::Pass(20)],
        faults: &[Step::PowerOn(2), Step::FreezeClient(3), Step::Thaw(3)],
        most_faults: 3,
        depth: 7,
    };
    holds(&scope, &Rules::REAL);
}

/// Rules 4 and 5: a member in a restart loop, and joiners that get nowhere.
#[test]
fn what_gets_nowhere_makes_room() {
    let scope = Scope {
        name: "restart loops, and joiners that can't join or may not change the membership",
        setting: Setting::running(3, 5),
        first: &[],
        steps: &[Step::Round, Step::Pass(31)],
        faults: &[
            Step::Impair(2, Flaw::CrashLoop),
            Step::StopEtcd(2),
            Step::PowerOff(2),
            Step::Impair(3, Flaw::CannotJoin),
            Step::Impair(3, Flaw::NoRights),
            Step::Impair(3, Flaw::CrashLoop),
            Step::Evict(2),
            Step::Resize(2),
            Step::Resize(4),
        ],
        most_faults: 4,
        depth: 6,
    };
    holds(&scope, &Rules::REAL);
}

/// Rules 6 and 8: the registry goes back while two of three nodes found the cluster.
#[test]
fn nobody_founds_a_second_cluster() {
    let scope = Scope {
        name: "2 of 3 form, and the registry goes back",
        setting: Setting::forming(2, 3),
        first: &[Step::BackUp],
        steps: &[Step::Visit(0), Step::Visit(1), Step::Visit(2), Step::Pass(5)],
        faults: &[Step::BackUp, Step::GoBack, Step::PowerOff(0), Step::LoseDisk(0), Step::PowerOn(0), Step::PowerCut],
        most_faults: 4,
        depth: 7,
    };
    holds(&scope, &Rules::REAL);
}

#[test]
fn a_random_walk_through_all_faults_breaks_nothing() {
    walk("all faults", 1, 2_500_000, &Kind::ALL, &Rules::REAL);
}

#[test]
fn a_random_walk_with_obedient_clients_breaks_nothing() {
    walk("obedient clients", 2, 1_000_000, &WITHOUT_FORGERIES, &OBEDIENT);
}

#[test]
fn a_random_walk_with_a_lying_server_breaks_nothing() {
    walk("a lying server", 3, 1_000_000, &Kind::ALL, &AGAINST_LIES);
}

/// A thief has the credential of a node, and the nodes have credentials.
#[test]
fn a_random_walk_with_a_stolen_credential_breaks_nothing() {
    walk("a stolen credential", 4, 1_000_000, &WITH_A_THIEF, &WITH_CREDENTIALS);
}

#[test]
fn a_planner_that_archives_on_record_is_caught() {
    let rules = Rules { planner: mutants::archives_on_record, ..OBEDIENT };
    catches("archives on record", &[Kind::Forgeries, Kind::Power], &rules, Broken::DataSetAside);
}

#[test]
fn a_planner_that_starts_copies_is_caught() {
    let rules = Rules { planner: mutants::starts_copies, ..OBEDIENT };
    catches("starts copies", &[Kind::Copies], &rules, Broken::TwoProcesses);
}

#[test]
fn a_planner_that_trusts_a_spare_is_caught() {
    let rules = Rules { planner: mutants::trusts_a_spare, ..OBEDIENT };
    catches("trusts a spare", &[Kind::Network], &rules, Broken::AliveRemoved);
}

#[test]
fn a_planner_that_trusts_every_check_in_is_caught() {
    let rules = Rules { planner: mutants::trusts_every_check_in, settles: false, ..Rules::REAL };
    catches("trusts every check-in", &[Kind::Flaws], &rules, Broken::NeverWhole);
}

#[test]
fn a_planner_that_waits_for_tickets_is_caught() {
    let rules = Rules { planner: mutants::waits_for_tickets, settles: false, ..Rules::REAL };
    catches("waits for tickets", &[Kind::Flaws, Kind::Administration], &rules, Broken::NeverWhole);
}

#[test]
fn a_planner_that_ignores_holds_is_caught() {
    let rules = Rules { planner: mutants::ignores_holds, settles: false, ..Rules::REAL };
    catches("ignores holds", &[Kind::Registry], &rules, Broken::TwoClusters);
}

/// The cluster forms, and the registry misses the report of that. Later the mount of the data directory is missing.
#[test]
fn a_planner_that_ignores_disks_is_caught() {
    let forms = [Step::CheckIn(0), Step::Act(0), Step::Settle(0), Step::PowerOff(0)];
    let returns_without_its_mount = [Step::Remount(0), Step::Pass(61), Step::PowerOn(0), Step::CheckIn(0)];
    let bootstraps =
        [Step::Pass(20), Step::CheckIn(0), Step::CheckIn(0), Step::Pass(20), Step::CheckIn(0), Step::Act(0)];
    let steps = [&forms[..], &returns_without_its_mount, &bootstraps].concat();
    let history = History { setting: Setting::forming(1, 2), steps, all_return: true };
    let rules = Rules { planner: mutants::ignores_disks, settles: false, ..Rules::REAL };
    assert_eq!(replay(&history, &rules), Some(Broken::TwoClusters), "{}", describe(&history, &rules));
    assert_eq!(replay(&history, &Rules::REAL), None);
}

#[test]
fn a_planner_that_promotes_out_of_reach_is_caught() {
    let rules = Rules { planner: mutants::promotes_out_of_reach, settles: false, ..Rules::REAL };
    catches("promotes out of reach", &[Kind::Network, Kind::Administration], &rules, Broken::UnreachablePromoted);
}

#[test]
fn a_planner_that_keeps_never_led_data_is_caught() {
    let rules = Rules { planner: mutants::keeps_never_led_data, settles: false, ..Rules::REAL };
    catches("keeps never-led data", &[Kind::Flaws, Kind::Addresses], &rules, Broken::NeverWhole);
}

#[test]
fn a_planner_that_trusts_what_it_gave_up_is_caught() {
    let rules = Rules { planner: mutants::trusts_what_it_gave_up, settles: false, ..Rules::REAL };
    catches("trusts what it gave up", &[Kind::Forgeries, Kind::Power], &rules, Broken::NeverWhole);
}

#[test]
fn clients_that_archive_as_instructed_are_caught() {
    let client = ClientRules { verifies_archive: false, ..ClientRules::CAREFUL };
    catches("archive as instructed", &Kind::ALL, &Rules { client, ..AGAINST_LIES }, Broken::DataSetAside);
}

#[test]
fn clients_that_bootstrap_as_instructed_are_caught() {
    let client = ClientRules { looks_for_archives: false, ..ClientRules::CAREFUL };
    let rules = Rules { client, ..AGAINST_LIES };
    catches("bootstrap as instructed", &[Kind::Power, Kind::Suspension], &rules, Broken::StartedWithoutData);
}

#[test]
fn clients_that_start_as_instructed_are_caught() {
    let client = ClientRules { looks_for_twin: false, ..ClientRules::CAREFUL };
    catches("start as instructed", &[Kind::Copies], &Rules { client, ..AGAINST_LIES }, Broken::TwoProcesses);
}

#[test]
fn clients_that_do_not_look_again_are_caught() {
    let client = ClientRules { looks_again: false, ..ClientRules::CAREFUL };
    catches("do not look again", &[Kind::Network], &Rules { client, ..AGAINST_LIES }, Broken::AliveRemoved);
}
