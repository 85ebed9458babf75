//! `convene`: asks the registry what a node does next, and makes it so.

#[cfg_attr(not(test), expect(dead_code, reason = "what reads it is still to come"))]
mod data_dir;

fn main() {}
