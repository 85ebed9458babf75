//! What the tests of the other crates rely on does what it says, with every etcd.

mod clusters;
mod databases;
mod processes;
mod repository;
mod writing;
