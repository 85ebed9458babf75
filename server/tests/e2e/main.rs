//! `convene-server` as its users meet it: the real binary, real etcds, real sockets.

mod bootstrap;
mod harness;
