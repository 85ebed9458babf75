use std::{
    hash::{DefaultHasher, Hash, Hasher},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::Path,
};

use crate::exit::Failure;

/// Shows that no other process makes decisions about the same data directory, for as long as it lives.
///
/// Two that do are told different things, and etcd may be started with what one was told while the other goes on: then
/// the data that etcd writes looks stale. It is a socket's name that nobody else can have meanwhile: unlike a file it
/// needs no place to be in, and is gone with its process however that ends.
#[derive(Debug)]
pub struct Alone {
    _name: UnixListener,
}

impl Alone {
    /// Is alone with a data directory, unless somebody else is.
    pub fn with(data_dir: &Path) -> Result<Self, Failure> {
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        let name = SocketAddr::from_abstract_name(format!("convene-join-{:016x}", hasher.finish()));
        let bound = name.and_then(|name| UnixListener::bind_addr(&name));
        match bound {
            Ok(name) => Ok(Self { _name: name }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(Failure::Refused(format!(
                "another `convene join` is at work for {}; wait for it, or end it",
                data_dir.display()
            ))),
            Err(error) => Err(Failure::Local(format!("can't see whether another `convene join` is at work: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_decides_about_a_data_directory() {
        let (one, other) = (Path::new("/nowhere/one"), Path::new("/nowhere/other"));
        let alone = Alone::with(one).unwrap();
        assert!(matches!(Alone::with(one), Err(Failure::Refused(_))));
        Alone::with(other).unwrap();
        drop(alone);
        Alone::with(one).unwrap();
    }
}
