//! Scenarios of the planner.
//!
//! A scenario is a few lines: what happens, which node checks in, and the answer that the node gets, in the short form of
//! [`words::Words`].

mod addresses;
mod adopting;
mod agents;
mod clocks;
mod copies;
mod downtimes;
mod evicting;
mod failing_starts;
mod forged_views;
mod forming;
mod growing;
mod hearsay;
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
mod refusals;
mod replacing;
mod requested_removals;
mod resetting;
mod restart;
mod rolled_back;
mod shrinking;
mod silent_clients;
mod slow_founders;
mod stalled_changes;
mod strategies;
mod swapped_addresses;
mod tickets;
mod twins;
mod v2;
mod voters_side;

mod etcd;
mod words;
mod world;

use convene_lifecycle::{ClusterId, Identity, MemberId, Revision, StockWrites, Strategy, View};
use world::{Data, World};

/// Data of a cluster that the registry does not know.
const FOREIGN: Data = Data::Of(Identity { member: MemberId(0xbad), cluster: ClusterId(0xbad) });
