//! `convene run` in front of etcd.

mod agent;
mod life;
mod partitions;
mod stopping;
mod supervising;
