use std::{
    env,
    fs::File,
    net::TcpListener,
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Where all blocks lie: below the ports that the kernel gives to clients, so that none of our own connections takes
/// one before its server does.
const ALL: Range<u16> = 15_000..32_000;
const BLOCK: u16 = 100;

/// A port without a listener that no other test gets, neither in this process nor in another on this machine.
pub fn free_port() -> u16 {
    static BLOCKS: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    // A thread that panicked here has left nothing half done.
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = blocks.last_mut().and_then(|block| block.ports.next());
        match port {
            Some(port) if TcpListener::bind(("127.0.0.1", port)).is_ok() => return port,
            Some(_) => {}
            None => blocks.push(Block::take()),
        }
    }
}

/// Ports that belong to this process as long as it has the file locked, and so until it ends in whatever way.
struct Block {
    ports: Range<u16>,
    _lock: File,
}

impl Block {
    /// Starts the search at another port in each process, so that what an aborted test has left running does not meet
    /// the next one's servers.
    fn take() -> Self {
        let blocks = (ALL.end - ALL.start) / BLOCK;
        let first = (std::process::id() % u32::from(blocks)) as u16;
        let mut starts = (0..blocks).map(|n| ALL.start + (first + n) % blocks * BLOCK);
        let taken = starts.find_map(|start| Some(Self { ports: start..start + BLOCK, _lock: lock(start)? }));
        taken.unwrap_or_else(|| panic!("no block of ports can be locked in {}", env::temp_dir().display()))
    }
}

/// `None` if another process has it, or if this one has it already.
fn lock(start: u16) -> Option<File> {
    let path = env::temp_dir().join(format!("convene-test-ports-{start}"));
    // Reading is enough to lock it, and is what other users may.
    let file = File::open(&path).or_else(|_| File::create_new(&path)).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_given_twice() {
        let ports: Vec<u16> = (0..250).map(|_| free_port()).collect();
        let different: BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(different.len(), ports.len());
    }

    #[test]
    fn a_block_is_locked_once() {
        let block = Block::take();
        assert!(lock(block.ports.start).is_none());
    }
}
