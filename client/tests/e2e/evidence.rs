//! Nothing is believed that nobody has just seen: each story is one way in which memory or hearsay could do harm.
//! The rules of evidence in docs/architecture.md have the rule behind each.

mod partitions;
