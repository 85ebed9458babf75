use std::{
    io::{self, ErrorKind},
    os::unix::net::{self, SocketAddr},
    path::Path,
    time::Duration,
};

use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use crate::{boot_clock::BootInstant, command_error::CommandError, data_dir_lock::abstract_name};

/// How long taking over may take. It takes milliseconds, unless the promoter before is suspended.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a promoter tries to follow the one before.
const HANDOVER_INTERVAL: Duration = Duration::from_millis(20);

/// How long the other side of a connection may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The answer of a promoter to an earlier one.
const STAYS: &[u8; 1] = b"-";

/// The turn of one promoter: at most one runs for a data directory, and a later one takes over. Each `convene join` leaves
/// one behind, and a supervisor may start etcd again and again.
///
/// The turn is the name of an abstract Unix socket. A promoter that wants it connects and sends its ID. IDs are ordered by
/// time, so of several promoters that start at once exactly one stays.
#[derive(Debug)]
pub struct Turn {
    id: Uuid,
    socket: UnixListener,
}

impl Turn {
    /// Takes over from the promoter before, if there is one. Returns `None` if a later one has the turn.
    pub async fn take(data_dir: &Path) -> Result<Option<Self>, CommandError> {
        Self::take_as(Uuid::now_v7(), data_dir).await
    }

    async fn take_as(id: Uuid, data_dir: &Path) -> Result<Option<Self>, CommandError> {
        let name = abstract_name("promote", data_dir).map_err(|error| cannot_take(&error.to_string()))?;
        let since = BootInstant::now();
        while since.elapsed() < HANDOVER_TIMEOUT {
            match bind(&name) {
                Ok(socket) => return Ok(Some(Self { id, socket })),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(cannot_take(&error.to_string())),
            }
            // An error means that the one before has just exited, or does not answer.
            if let Ok(Ok(true)) = tokio::time::timeout(ANSWER_TIMEOUT, is_refused(&name, id)).await {
                return Ok(None);
            }
            tokio::time::sleep(HANDOVER_INTERVAL).await;
        }
        Err(cannot_take("that process does not exit"))
    }

    /// Waits until a later promoter wants to take over.
    pub async fn end(&self) {
        // An error of the socket is no reason to go on: two promoters are worse than none.
        while let Ok((connection, _)) = self.socket.accept().await {
            let asked = tokio::time::timeout(ANSWER_TIMEOUT, receive::<16>(&connection)).await;
            let Ok(Ok(other)) = asked else { continue };
            if Uuid::from_bytes(other) > self.id {
                return;
            }
            let _ = send(&connection, STAYS).await;
        }
    }
}

/// Asks the promoter that has the turn to exit. Returns whether it is a later one and stays.
async fn is_refused(name: &SocketAddr, id: Uuid) -> io::Result<bool> {
    let connection = net::UnixStream::connect_addr(name)?;
    connection.set_nonblocking(true)?;
    let connection = UnixStream::from_std(connection)?;
    send(&connection, id.as_bytes()).await?;
    Ok(receive(&connection).await.is_ok_and(|answer| answer == *STAYS))
}

fn bind(name: &SocketAddr) -> io::Result<UnixListener> {
    let socket = net::UnixListener::bind_addr(name)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

/// Sends a message that fits into any buffer of the kernel.
async fn send(connection: &UnixStream, message: &[u8]) -> io::Result<()> {
    connection.async_io(tokio::io::Interest::WRITABLE, || connection.try_write(message)).await.map(drop)
}

async fn receive<const LENGTH: usize>(connection: &UnixStream) -> io::Result<[u8; LENGTH]> {
    let mut message = [0; LENGTH];
    let read = connection.async_io(tokio::io::Interest::READABLE, || connection.try_read(&mut message)).await?;
    if read == LENGTH { Ok(message) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn cannot_take(cause: &str) -> CommandError {
    CommandError::Local(format!("cannot take over from another `convene promote`: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(id: u128, data_dir: &str) -> Option<Turn> {
        Turn::take_as(Uuid::from_u128(id), Path::new(data_dir)).await.unwrap()
    }

    async fn ends(turn: &Turn) -> bool {
        tokio::time::timeout(Duration::from_millis(100), turn.end()).await.is_ok()
    }

    #[tokio::test]
    async fn a_later_promoter_of_the_same_data_directory_takes_over() {
        let first = take(1, "/nowhere/one").await.unwrap();
        let elsewhere = take(1, "/nowhere/other").await.unwrap();
        let hold = async {
            first.end().await;
            drop(first);
        };
        let ((), second) = tokio::join!(hold, take(2, "/nowhere/one"));
        assert!(second.is_some());
        assert!(!ends(&elsewhere).await);
    }

    #[tokio::test]
    async fn an_earlier_promoter_gives_way() {
        let later = take(2, "/nowhere/late").await.unwrap();
        let (ended, earlier) = tokio::join!(ends(&later), take(1, "/nowhere/late"));
        assert!(!ended && earlier.is_none());
    }
}
