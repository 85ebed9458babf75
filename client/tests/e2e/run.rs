//! `convene run` in front of etcd.

mod agent;
mod first_process;
mod life;
mod mixing;
mod partitions;
mod power;
mod stopping;
mod supervising;
