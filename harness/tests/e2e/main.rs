//! The harness that the tests of the other crates rely on works with every etcd.

mod alert_rules;
mod clusters;
mod databases;
mod deploy;
mod processes;
mod repository;
mod writing;
