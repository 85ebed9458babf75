use std::time::Duration;

use crate::boot_clock::BootInstant;

/// How long a promoter waits for etcd to start. A unit or a script may do more between `convene join` and etcd.
const START: Duration = Duration::from_secs(30);

/// How long a promoter waits for etcd to start again after it has exited. The supervisor runs `convene join` first, whose
/// promoter takes over, unless it starts etcd alone.
const RESTART: Duration = Duration::from_secs(10);

/// Watches whether an etcd process uses the data directory, as far as a promoter has to know: it exits soon if none does.
#[derive(Debug)]
pub struct EtcdProcess {
    since: BootInstant,
    last_used: Option<BootInstant>,
}

impl EtcdProcess {
    /// No etcd process has been seen yet.
    pub fn new() -> Self {
        Self { since: BootInstant::now(), last_used: None }
    }

    /// Records whether an etcd process uses the data directory now.
    pub fn record(&mut self, is_used: bool) {
        if is_used {
            self.last_used = Some(BootInstant::now());
        }
    }

    /// Whether no etcd process is there, and none is to be expected.
    pub fn is_gone(&self) -> bool {
        match self.last_used {
            Some(last_used) => last_used.elapsed() >= RESTART,
            None => self.since.elapsed() >= START,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_expected_for_a_while_after_the_start_and_after_its_last_sign() {
        let is_gone = |since: u64, last_used: Option<u64>| {
            let ago = |seconds| BootInstant::ago(Duration::from_secs(seconds));
            EtcdProcess { since: ago(since), last_used: last_used.map(ago) }.is_gone()
        };
        assert!(!is_gone(25, None) && is_gone(30, None));
        assert!(!is_gone(600, Some(5)) && is_gone(600, Some(10)));
        let mut process = EtcdProcess { since: BootInstant::ago(START), last_used: None };
        process.record(false);
        assert!(process.is_gone());
        process.record(true);
        assert!(!process.is_gone());
    }
}
