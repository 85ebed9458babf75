//! Machines with addresses of their own: a bridge, and a network namespace for each machine.

use std::{
    path::Path,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{environment, peers};

/// No interface has this MAC address. Frames to it are lost, and their sender gets no error.
const NOWHERE: &str = "02:00:00:00:de:ad";

/// A network of machines. The test itself has an address in it, and is never cut off.
pub struct Network {
    bridge: String,
    /// The address of the test itself.
    pub address: String,
    /// The machines.
    pub hosts: Vec<Arc<Host>>,
}

/// One machine's place in the network.
pub struct Host {
    namespace: String,
    /// Its address.
    pub address: String,
}

impl Network {
    /// A network of `machines` machines. `None`, with the reason printed, if namespaces can't be created here: that
    /// needs root and `ip`.
    pub fn new(machines: usize) -> Option<Self> {
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        // Interface names have at most 15 characters. Two networks at the same time have different subnets.
        let bridge = format!("cvt{}-{number}", process::id() % 1_000_000);
        let subnet = format!("10.{}.{}", 80 + number % 100, process::id() % 250);
        let mut network = Self { bridge, address: format!("{subnet}.1"), hosts: Vec::new() };
        if let Err(error) = network.create_bridge() {
            peers::skip(&format!("network namespaces can't be created here: {error}"));
            return None;
        }
        for machine in 0..machines {
            let host = network.create_host(machine, format!("{subnet}.{}", 10 + machine));
            network.hosts.push(Arc::new(host.expect("a host can be created after the bridge")));
        }
        Some(network)
    }

    fn create_bridge(&self) -> Result<(), String> {
        ip(&["link", "add", &self.bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", self.address), "dev", &self.bridge])?;
        ip(&["link", "set", &self.bridge, "up"])
    }

    fn create_host(&self, machine: usize, address: String) -> Result<Host, String> {
        let host = Host { namespace: format!("{}-{machine}", self.bridge), address };
        let outside = format!("{}v{machine}", self.bridge);
        ip(&["netns", "add", &host.namespace])?;
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", "lan0", "netns", &host.namespace])?;
        ip(&["link", "set", &outside, "master", &self.bridge, "up"])?;
        host.ip(&["addr", "add", &format!("{}/24", host.address), "dev", "lan0"])?;
        host.ip(&["link", "set", "lan0", "up"])?;
        host.ip(&["link", "set", "lo", "up"])?;
        Ok(host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = ip(&["netns", "del", &host.namespace]);
        }
        let _ = ip(&["link", "del", &self.bridge]);
    }
}

impl Host {
    /// Drops all that this machine sends to an address, silently. Packets from there still arrive.
    pub fn cut_to(&self, address: &str) {
        self.ip(&["neigh", "replace", address, "lladdr", NOWHERE, "nud", "permanent", "dev", "lan0"]).unwrap();
    }

    /// Ends a cut.
    pub fn mend_to(&self, address: &str) {
        self.ip(&["neigh", "del", address, "dev", "lan0"]).unwrap();
    }

    /// Wraps a command, so that it runs on this machine. The process is the command itself.
    pub(crate) fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = environment::command(Path::new("ip"));
        wrapped.args(["netns", "exec", &self.namespace]).arg(command.get_program()).args(command.get_args());
        environment::copy(command, &mut wrapped);
        wrapped
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        ip(&[&["-n", &self.namespace], arguments].concat())
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr).trim()))
}
