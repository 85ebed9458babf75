use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use convene_harness::{Postgres, server::Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// A line to a database, which can be cut, and on which connections can be forgotten.
pub struct Line {
    /// The database's URL over this line.
    pub url: String,
    address: Arc<Mutex<String>>,
    state: watch::Sender<State>,
    carrying: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    is_open: bool,
    /// Connections that were opened before are forgotten.
    forgotten: u64,
}

impl Line {
    pub async fn to(database: &str) -> Self {
        let (listener, address, url) = listen_for(database).await;
        let address = Arc::new(Mutex::new(address));
        let (state, of_connections) = watch::channel(State { is_open: true, forgotten: 0 });
        let carrying = tokio::spawn(carry_all(listener, address.clone(), of_connections));
        Self { url, address, state, carrying }
    }

    /// Closes all connections, and accepts no further ones.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.is_open = false);
    }

    /// Accepts connections again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.is_open = true);
    }

    /// Carries further connections to another database server, at the address of this URL.
    pub fn lead_to(&self, database: &str) {
        *self.address.lock().unwrap() = split(database).1.to_owned();
    }

    /// Stops carrying what is sent on the present connections, in silence, as a firewall does that has forgotten them. Further
    /// connections work.
    pub fn forget_connections(&self) {
        self.state.send_modify(|state| state.forgotten += 1);
    }
}

/// A line to a new database, a server over it, and another server; `None` if PostgreSQL is missing.
pub async fn servers_on_a_line() -> Option<(Line, Server, Server)> {
    let database = Postgres::shared()?.create_database();
    let line = Line::to(&database).await;
    let (server, other) = (Server::start_on(&line.url, &[]), Server::start_on(&database, &[]));
    Some((line, server, other))
}

/// Carries connections to a database, and takes a time for each direction. Returns the database's URL over this line.
pub async fn slow_line(database: &str, delay: Duration) -> String {
    let (listener, address, url) = listen_for(database).await;
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(&address).await.unwrap();
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(from_near, to_far, move || delay));
            tokio::spawn(carry(from_far, to_near, move || delay));
        }
    });
    url
}

/// How long TCP waits before it sends a packet again, on Linux at least 200 ms.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Carries connections to a database, and loses a packet in so many: what is sent behind it arrives with it, once it was sent again.
/// Returns the database's URL over this line.
pub async fn lossy_line(database: &str, one_in: usize) -> String {
    let (listener, address, url) = listen_for(database).await;
    tokio::spawn(async move {
        for connection in 0.. {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(&address).await.unwrap();
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            // Two directions don't lose their packets at the same time.
            let losses = |before: usize| {
                let mut sent = before;
                move || {
                    sent += 1;
                    if sent.is_multiple_of(one_in) { RETRANSMISSION } else { Duration::ZERO }
                }
            };
            tokio::spawn(carry(from_near, to_far, losses(connection)));
            tokio::spawn(carry(from_far, to_near, losses(connection + one_in / 2)));
        }
    });
    url
}

/// A listener, the address of the database that it is for, and the database's URL at the listener.
async fn listen_for(database: &str) -> (TcpListener, String, String) {
    let (before, address, name) = split(database);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{before}@{}/{name}", listener.local_addr().unwrap());
    (listener, address.to_owned(), url)
}

/// What precedes the `@` of a database's URL, the address, and the database's name.
fn split(url: &str) -> (&str, &str, &str) {
    let (before, behind) = url.split_once('@').unwrap();
    let (address, name) = behind.split_once('/').unwrap();
    (before, address, name)
}

/// Carries what one end sends to the other, in order, and delays each part.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut delay: impl FnMut() -> Duration) {
    let (sent, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let sending = async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let _ = sent.send((Instant::now() + delay(), buffer[..count].to_vec()));
        }
    };
    let receiving = async move {
        while let Some((arrives, bytes)) = under_way.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(sending, receiving);
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry_all(listener: TcpListener, address: Arc<Mutex<String>>, state: watch::Receiver<State>) {
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let State { is_open, forgotten } = *state.borrow();
        if !is_open {
            continue;
        }
        let address = address.lock().unwrap().clone();
        // Nobody listens there while a database server is down.
        let Ok(mut far) = TcpStream::connect(address).await else { continue };
        let mut state = state.clone();
        tokio::spawn(async move {
            let changed = tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => return,
                changed = state.wait_for(|state| !state.is_open || state.forgotten > forgotten) => changed.map(|state| *state),
            };
            if changed.is_ok_and(|state| state.is_open) {
                // Neither end is told.
                pending::<()>().await;
            }
        });
    }
}
