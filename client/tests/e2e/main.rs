//! `convene` as its users meet it: the real binaries, real etcds, real sockets.

mod bootstrap;
mod node;
