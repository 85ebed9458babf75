//! Scenarios of the planner.
//!
//! A scenario is a few lines: what happens, which node checks in, and the answer that the node gets, in the short form of
//! [`words::Words`].

mod addresses;
mod adopting;
mod clocks;
mod evicting;
mod forming;
mod growing;
mod held;
mod join_overrides;
mod leaving;
mod leftover;
mod lost_data;
mod name_conflicts;
mod never_led;
mod partition;
mod pausing;
mod promoting;
mod replacing;
mod resetting;
mod restart;
mod rolled_back;
mod shrinking;
mod silent_clients;
mod strategies;
mod tickets;
mod v2;

mod etcd;
mod words;
mod world;

use convene_lifecycle::{ClusterId, Identity, MemberId, Revision, Strategy};
use world::{Data, World};

/// Data of a cluster that the registry does not know.
const FOREIGN: Data = Data::Of(Identity { member: MemberId(0xbad), cluster: ClusterId(0xbad) });
