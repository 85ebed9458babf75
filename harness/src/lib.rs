//! What the tests of all crates run: servers, etcds, clients and other processes, each ended when its handle is
//! dropped.

mod access;
mod environment;
mod fuzz_seeds;
mod gateway;
mod kept;
mod other_user;
mod page;
mod place;
mod ports;
mod postgres;
mod process;
mod section;
mod set_up;
mod site;
mod small_disk;
mod waiting;

pub mod cli_reference;
pub mod cluster;
pub mod convene;
pub mod etcd;
pub mod http;
pub mod limits;
pub mod network;
pub mod peer_proxy;
pub mod peers;
pub mod programs;
pub mod replicas;
pub mod secrets;
pub mod server;
pub mod systemd;
pub mod tls;
pub mod writer;

pub use crate::{
    access::Access,
    fuzz_seeds::fuzz_seeds,
    other_user::{as_nobody, run_as_nobody},
    page::{Page, Steps},
    place::Place,
    ports::free_port,
    postgres::Postgres,
    process::Process,
    section::{Section, code_spans},
    set_up::SetUp,
    site::{Machine, Site},
    small_disk::SmallDisk,
    waiting::wait_for,
};
