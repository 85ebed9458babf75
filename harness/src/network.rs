//! Machines with addresses of their own: a bridge, and a network namespace for each machine.

use std::{
    net::Ipv4Addr,
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

    /// Whether this machine can open a TCP connection to `HOST:PORT` within a second.
    pub fn connects_to(&self, address: &str) -> bool {
        let (host, port) = address.rsplit_once(':').expect("an address has a port");
        let connect = format!("exec 3<>/dev/tcp/{host}/{port}");
        ip(&["netns", "exec", &self.namespace, "timeout", "1", "bash", "-c", &connect]).is_ok()
    }

    /// Drops, silently, the first packet of each TCP connection that an address opens to this machine, as a firewall does that
    /// lacks a rule. Connections from this machine to the address work. Lasts as long as the network. `None`, with the reason
    /// printed, if the kernel can't do so.
    pub fn deny_connections_from(&self, address: &str) -> Option<()> {
        let filter = drop_first_packets(address.parse().expect("an address of a host is an IPv4 address"));
        // There may be a qdisc already, for another address.
        let _ = run("tc", &["-n", &self.namespace, "qdisc", "add", "dev", "lan0", "clsact"]);
        let filter = ["filter", "add", "dev", "lan0", "ingress", "bpf", "direct-action", "bytecode", &filter];
        let added = run("tc", &[&["-n", &self.namespace], &filter[..]].concat());
        added.map_err(|error| peers::skip(&format!("packets can't be filtered here: {error}"))).ok()
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

pub(crate) fn ip(arguments: &[&str]) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.trim()))
}

/// A program of the kernel's packet filter, as `tc` reads it: the number of instructions, and for each its code, the two jumps and the
/// value. It drops a TCP packet with SYN and without ACK from an address.
fn drop_first_packets(from: Ipv4Addr) -> String {
    const PASS: u32 = 0;
    const DROP: u32 = 2;
    let program: [(u16, u8, u8, u32); 11] = [
        (0x28, 0, 0, 12),             // the type of the Ethernet frame
        (0x15, 0, 8, 0x0800),         // is IPv4, or pass
        (0x20, 0, 0, 26),             // the source address
        (0x15, 0, 6, from.to_bits()), // is this one, or pass
        (0x30, 0, 0, 23),             // the protocol
        (0x15, 0, 4, 6),              // is TCP, or pass
        (0xb1, 0, 0, 14),             // X becomes the length of the IP header
        (0x50, 0, 0, 14 + 13),        // the flags of TCP
        (0x54, 0, 0, 0x12),           // SYN and ACK of them
        (0x15, 1, 0, 0x02),           // is SYN alone: drop
        (0x06, 0, 0, PASS),
    ];
    let program = program.iter().chain(&[(0x06, 0, 0, DROP)]);
    let instructions: Vec<String> =
        program.map(|(code, if_so, if_not, value)| format!("{code} {if_so} {if_not} {value}")).collect();
    format!("{},{}", instructions.len(), instructions.join(","))
}
