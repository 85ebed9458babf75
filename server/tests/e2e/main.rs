//! `convene-server` as its users meet it: the real binary, real etcds, real sockets.

mod administration;
mod adopting;
mod api;
mod api_page;
mod bad_input;
mod bootstrap;
mod check_in;
mod comparison;
mod crash;
mod differential;
mod lifecycle;
mod long_polls;
mod moving;
mod openapi;
mod operation;
mod readme;
mod refusals;
mod replicas;
mod test_cluster;
mod v3_bootstrap;
mod v3_client;
mod v3_differential;
mod v3_etcdctl;
mod v3_history;
mod v3_load;
mod v3_node_client;
