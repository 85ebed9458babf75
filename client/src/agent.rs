//! The agent: `convene run` stays in front of etcd for the node's whole life.

mod etcd_readiness;
mod node_port;
mod service_manager;
mod state;
mod status;
