//! A server that answers as a test wants, and keeps what it was sent.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::pem::PemObject};

use convene_harness::tls::Identity;

/// Accepts connections until the test ends.
pub struct RawServer {
    /// Its `HOST:PORT`.
    pub address: String,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    connections: usize,
    bytes: Vec<u8>,
}

impl RawServer {
    /// Answers each request with the bytes of a whole HTTP response, by its path.
    pub fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |connection, received| {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let Some(request) = read_request(&mut reader) else { return };
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            record(received, request.as_bytes());
            // The other side may have gone.
            let _ = connection.write_all(&answer(&path));
        })
    }

    /// Answers each check-in, and each other request, with this JSON.
    pub fn with_json(json: impl Into<String>) -> Self {
        let json = json.into();
        Self::answering(move |_| http(&json))
    }

    /// Begins an answer of JSON that never ends.
    pub fn endless() -> Self {
        Self::start(|connection, received| {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let Some(request) = read_request(&mut reader) else { return };
            record(received, request.as_bytes());
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"message\": \"");
            while connection.write_all(&[b'x'; 1 << 16]).is_ok() {}
        })
    }

    /// Begins an answer of JSON, and then sends a character each second.
    pub fn dripping() -> Self {
        Self::start(|connection, received| {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let Some(request) = read_request(&mut reader) else { return };
            record(received, request.as_bytes());
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"message\": \"");
            while connection.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        })
    }

    /// Passes all on to another server, in clear text.
    pub fn before(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        Self::start(move |connection, received| {
            let Ok(mut behind) = TcpStream::connect(&server) else { return };
            let (mut from_behind, mut back) = (behind.try_clone().unwrap(), connection.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_behind, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            let mut buffer = [0; 1 << 14];
            while let Ok(length @ 1..) = connection.read(&mut buffer) {
                record(received, &buffer[..length]);
                if behind.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
        })
    }

    /// Keeps what is sent over TLS, once the other side has accepted its certificate.
    pub fn with_tls(identity: &Identity) -> Self {
        let config = Arc::new(tls(identity));
        Self::start(move |connection, received| {
            let Ok(session) = ServerConnection::new(config.clone()) else { return };
            let mut stream = StreamOwned::new(session, connection.try_clone().unwrap());
            let mut buffer = [0; 1 << 14];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                record(received, &buffer[..length]);
            }
        })
    }

    /// Answers requests over TLS with this JSON.
    pub fn with_tls_and_json(identity: &Identity, json: impl Into<String>) -> Self {
        let (config, json) = (Arc::new(tls(identity)), json.into());
        Self::start(move |connection, received| {
            let Ok(session) = ServerConnection::new(config.clone()) else { return };
            let mut stream = BufReader::new(StreamOwned::new(session, connection.try_clone().unwrap()));
            let Some(request) = read_request(&mut stream) else { return };
            record(received, request.as_bytes());
            let _ = stream.get_mut().write_all(&http(&json));
            stream.get_mut().conn.send_close_notify();
            let _ = stream.get_mut().flush();
        })
    }

    fn start(serve: impl Fn(&mut TcpStream, &Mutex<Received>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received: Arc<Mutex<Received>> = Arc::default();
        let (kept, serve) = (received.clone(), Arc::new(serve));
        thread::spawn(move || {
            for mut connection in listener.incoming().map_while(Result::ok) {
                let (kept, serve) = (kept.clone(), serve.clone());
                lock(&kept).connections += 1;
                thread::spawn(move || serve(&mut connection, &kept));
            }
        });
        Self { address, received }
    }

    /// How often somebody has connected.
    pub fn connections(&self) -> usize {
        lock(&self.received).connections
    }

    /// Whether it was sent a text.
    pub fn has_received(&self, text: &str) -> bool {
        lock(&self.received).bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }

    /// How many bytes it was sent; over TLS, inside of it.
    pub fn received_bytes(&self) -> usize {
        lock(&self.received).bytes.len()
    }
}

fn tls(identity: &Identity) -> ServerConfig {
    let leaf = rustls::pki_types::CertificateDer::from_pem_file(&identity.certificate).unwrap();
    let ca = rustls::pki_types::CertificateDer::from_pem_file(&identity.ca).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    config.with_no_client_auth().with_single_cert(vec![leaf, ca], key).unwrap()
}

/// A response of JSON.
pub fn http(json: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
    format!("{head}: {}\r\n\r\n{json}", json.len()).into_bytes()
}

/// The head of a request. Its body is read, too.
fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            _ => return None,
        }
        if let Some((name, value)) = line.trim_end().split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        head += &line;
        if line.trim_end().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(head)
}

fn record(received: &Mutex<Received>, bytes: &[u8]) {
    lock(received).bytes.extend_from_slice(bytes);
}

fn lock(received: &Mutex<Received>) -> std::sync::MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}
