"""A network of machines on this machine: a bridge, and a network namespace for each machine. Needs root."""

import collections
import os
import subprocess
import threading

# No interface has this MAC address. Frames to it are lost, and their sender gets no error.
NOWHERE = "02:00:00:00:de:ad"


def ip(*arguments):
    """Runs `ip`, and fails with what it prints."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """A bridge with machines. The test itself is on the bridge, too, and is never cut off."""

    def __init__(self, machines):
        self.name = f"cvs{os.getpid() % 100_000}"
        self.subnet = f"10.77.{os.getpid() % 250}"
        self.address = f"{self.subnet}.1"
        self.hosts = []
        try:
            ip("link", "add", self.name, "type", "bridge")
            ip("addr", "add", f"{self.address}/24", "dev", self.name)
            ip("link", "set", self.name, "up")
            for number in range(machines):
                self.hosts.append(Host(self, number))
        except BaseException:
            self.close()
            raise

    def close(self):
        """Removes the namespaces and the bridge."""
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", host.namespace], capture_output=True)
        subprocess.run(["ip", "link", "del", self.name], capture_output=True)


class Host:
    """One machine's place in the network."""

    def __init__(self, network, number):
        self.namespace = f"{network.name}-{number}"
        self.address = f"{network.subnet}.{10 + number}"
        # How many faults cut this machine off from an address.
        self._cuts = collections.Counter()
        self._lock = threading.Lock()
        outside = f"{network.name}v{number}"
        ip("netns", "add", self.namespace)
        ip("link", "add", outside, "type", "veth", "peer", "name", "lan0", "netns", self.namespace)
        ip("link", "set", outside, "master", network.name, "up")
        self._ip("addr", "add", f"{self.address}/24", "dev", "lan0")
        self._ip("link", "set", "lan0", "up")
        self._ip("link", "set", "lo", "up")

    def command(self, *command):
        """A command that runs on this machine. The process is the command itself."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def processes(self):
        """The IDs of all processes on this machine."""
        return [int(process) for process in ip("netns", "pids", self.namespace).split()]

    def cut_to(self, address):
        """Drops all that this machine sends to an address, silently. What comes from there still arrives."""
        with self._lock:
            self._cuts[address] += 1
            self._ip("neigh", "replace", address, "lladdr", NOWHERE, "nud", "permanent", "dev", "lan0")

    def mend_to(self, address):
        """Ends a cut. Two faults at once may have cut the same way."""
        with self._lock:
            self._cuts[address] -= 1
            if not self._cuts[address]:
                self._ip("neigh", "del", address, "dev", "lan0")

    def _ip(self, *arguments):
        ip("-n", self.namespace, *arguments)
