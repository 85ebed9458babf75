use std::net::SocketAddr;

use clap::ValueEnum;
use thiserror::Error;

/// Whether requests need credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// Administration needs a role.
    On,
    /// Everybody who can reach the server is an administrator.
    Off,
}

/// `--auth off` on an address that other machines reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "--auth off on {0} would let everybody who reaches this address administer all clusters; listen on a loopback address, or use \
     --auth on, or confirm with --allow-unauthenticated"
)]
pub struct NotOnLoopback(SocketAddr);

impl AuthMode {
    /// Checks that other machines can't administer a server without credentials by mistake.
    pub fn check(self, listening: SocketAddr, allow_unauthenticated: bool) -> Result<(), NotOnLoopback> {
        match self {
            Self::Off if !listening.ip().is_loopback() && !allow_unauthenticated => Err(NotOnLoopback(listening)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_authentication_a_server_listens_on_loopback_unless_that_is_confirmed() {
        let (loopback, other) = ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap());
        assert_eq!(AuthMode::Off.check(loopback, false), Ok(()));
        assert_eq!(AuthMode::Off.check("[::1]:1".parse().unwrap(), false), Ok(()));
        assert_eq!(AuthMode::Off.check(other, false), Err(NotOnLoopback(other)));
        assert_eq!(AuthMode::Off.check(other, true), Ok(()));
        assert_eq!(AuthMode::On.check(other, false), Ok(()));
    }
}
