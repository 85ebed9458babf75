mod canonical;
mod check;
mod clock;
mod etcd;
mod liveness;
mod mutants;
mod registry;
mod setting;
mod steps;
mod view;
mod world;

use etcd::Guard;
use setting::Setting;

#[test]
fn a1() {
    check::holds(Setting::forming("forming 1", 1, 1).with(3, 2).letters(2));
}
#[test]
fn a2() {
    check::holds(Setting::forming("forming 1 of 2", 1, 2).with(2, 1).letters(1));
}
#[test]
fn a3() {
    check::holds(Setting::forming("forming 2", 2, 2).with(2, 2));
}
#[test]
fn a4() {
    check::holds(Setting::forming("forming 2 letters", 2, 2).with(2, 1).letters(1));
}
#[test]
fn a5() {
    check::holds(Setting::forming("forming 2 of 3", 2, 3).with(1, 1));
}
#[test]
fn a6() {
    check::holds(Setting::forming("forming 3", 3, 3).with(1, 1));
}
#[test]
fn b1() {
    check::holds(Setting::running("3+1 off", 3, 4).with(1, 1).guard(Guard::Off));
}
#[test]
fn b4() {
    check::holds(Setting::running("3+1 off crash", 3, 4).with(1, 0).guard(Guard::Off));
}
#[test]
fn b2() {
    check::holds(Setting::running("3+2", 3, 5).with(1, 0).guard(Guard::Newer));
}
#[test]
fn b3() {
    check::holds(Setting::running("3+1 voters", 3, 4).with(1, 1).guard(Guard::Newer).as_voters());
}
#[test]
fn c1() {
    check::holds(Setting::running("1-2-3", 1, 3).sizes(&[2, 3]));
}
#[test]
fn c2() {
    check::holds(Setting::running("1-2-3 voters", 1, 3).sizes(&[2, 3]).with(1, 0).as_voters());
}
#[test]
fn c3() {
    check::holds(Setting::running("3-1", 3, 3).sizes(&[1]).with(1, 0));
}
#[test]
fn c4() {
    check::holds(Setting::running("3-1-3", 3, 3).sizes(&[1, 3]));
}
#[test]
fn d1() {
    check::holds(Setting::running("3 evict", 3, 3).evictions(1).with(1, 0));
}
#[test]
fn d2() {
    check::holds(Setting::running("3+1 evict", 3, 4).evictions(1));
}
#[test]
fn e1() {
    check::holds(Setting::running("3+1 cut", 3, 4).cuts(1).with(1, 0));
}
#[test]
fn e2() {
    check::holds(Setting::running("3+1 letter", 3, 4).letters_in_order(1).with(1, 0));
}

#[test]
fn m1() {
    let setting = Setting::running("adds before it removes", 3, 4).with(1, 0).guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::adds_before_it_removes), setting::QUORUM_STAYS);
}
#[test]
fn m2() {
    let setting = Setting::running("trusts one probe", 3, 4).with(1, 0);
    check::is_unsafe(setting.planner(mutants::trusts_one_probe), setting::NOBODY_ALIVE_GOES);
}
#[test]
fn m3() {
    let setting = Setting::running("ignores the risk", 3, 3).with(1, 0).evictions(1).guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::ignores_the_risk), setting::QUORUM_STAYS);
}
#[test]
fn m4() {
    let setting = Setting::running("forgets tickets", 2, 4).sizes(&[3]).as_voters().guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::forgets_tickets), setting::QUORUM_STAYS);
}
#[test]
fn m5() {
    let setting = Setting::forming("forgets who was told", 1, 1).with(1, 1);
    check::is_unsafe(setting.planner(mutants::forgets_who_was_told), setting::ONE_CLUSTER);
}
#[test]
fn m6() {
    let setting = Setting::running("archives good data", 3, 3).with(1, 0);
    check::is_unsafe(setting.planner(mutants::archives_good_data), setting::DATA_STAYS);
}
#[test]
fn m7() {
    let setting = Setting::running("makes room", 3, 4);
    check::is_unsafe(setting.planner(mutants::makes_room), setting::NOBODY_ALIVE_GOES);
}
#[test]
fn m8() {
    let setting = Setting::running("adds voters only", 1, 2).sizes(&[2]);
    check::is_unsafe(setting.planner(mutants::adds_voters_only), setting::QUORUM_STAYS);
}
#[test]
fn m9() {
    let setting = Setting::running("never promotes", 1, 2).sizes(&[2]);
    check::is_stuck(setting.planner(mutants::never_promotes));
}
