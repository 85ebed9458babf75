//! `convene run` in front of etcd.

mod agent;
mod evidence;
mod faults;
mod first_process;
mod life;
mod lost_registry;
mod mixing;
mod partitions;
mod power;
mod service_manager;
mod stopping;
mod supervising;
