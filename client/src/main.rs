//! `convene`: asks the registry what a node does next, and makes it so.

#[allow(dead_code, reason = "nothing prints yet but its tests")]
mod output;

fn main() {}
