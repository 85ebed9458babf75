//! `convene` as users run it: real binaries, real etcds, real sockets.

mod administration;
mod admission;
mod bootstrap;
mod crashes;
mod elastic;
mod evidence;
mod machine;
mod mistakes;
mod moving;
mod node;
mod promoter;
mod race;
mod replacement;
mod resize;
mod run;
mod security;
mod stale_data;
mod status;
mod timeouts;
mod tls;
mod users;
