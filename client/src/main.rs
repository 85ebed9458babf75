//! `convene`: asks the registry what a node does next, and makes it so.

fn main() {}
