mod canonical;
mod check;
mod clock;
mod etcd;
mod liveness;
mod registry;
mod setting;
mod steps;
mod view;
mod world;

use etcd::Guard;
use setting::Setting;

#[test]
fn forms_1() {
    check::holds(Setting::forming("forming 1", 1, 1).with(2, 1).letters(1));
}

#[test]
fn forms_2() {
    check::holds(Setting::forming("forming 2", 2, 2).with(1, 1));
}

#[test]
fn r3() {
    check::holds(Setting::running("3+1", 3, 4).with(1, 1).guard(Guard::Strict));
}
