//! What the planner tells each node, scenario by scenario.
//!
//! A scenario is a few lines: what happens, who asks, and the answer that the node gets, in the words of
//! [`words::Words`].

mod addresses;
mod adopting;
mod clocks;
mod evicting;
mod forming;
mod growing;
mod join_overrides;
mod leaving;
mod leftover;
mod lost_data;
mod partition;
mod pausing;
mod promoting;
mod replacing;
mod resetting;
mod restart;
mod shrinking;
mod strangers;
mod strategies;
mod tickets;
mod v2;
mod vanishing;

mod etcd;
mod words;
mod world;

use convene_lifecycle::{ClusterId, Identity, MemberId, Revision, Strategy};
use world::{Data, World};

/// Data of a cluster that nobody here has heard of.
const FOREIGN: Data = Data::Of(Identity { member: MemberId(0xbad), cluster: ClusterId(0xbad) });
