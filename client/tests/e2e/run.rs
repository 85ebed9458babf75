//! `convene run` in front of etcd.

mod agent;
mod life;
mod stopping;
mod supervising;
