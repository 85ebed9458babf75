//! `convene` as its users meet it: the real binary, the real server, real etcds.

mod administration;
