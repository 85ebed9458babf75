"""A machine whose supervisor runs `convene run`, which runs etcd."""

import json
import subprocess
import urllib.request

from machine import Machine, program_of

# The exit code after which a supervisor does not start the agent again.
REFUSED_FOR_GOOD = 6
# An ordered stop takes the announcement, the leadership and the stop of etcd, each with a limit of its own.
STOP_LIMIT = 60


class AgentMachine(Machine):
    """An etcd outlives its agent, as with `KillMode=process`: the next agent takes it over."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        # The process of the agent, while it runs.
        self.agent = None
        # How often an agent was started.
        self.starts = 0
        self.is_refused_for_good = False
        self._exit_code = None
        self._is_announced = False

    def status(self):
        """What the node's own port says; an empty one if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.host.address}:2382/status", timeout=2) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    def is_waiting(self):
        """Whether the machine is a spare."""
        return self.status().get("state") == "spare"

    def leads(self):
        """Whether the machine's etcd is the leader."""
        return bool((self.status().get("etcd") or {}).get("is_leader"))

    def is_in_place(self):
        """Whether the machine is a voter or a spare."""
        return self.status().get("state") in ("voter", "spare")

    def stop(self):
        """Stops the agent as `systemctl stop` does. Returns its exit code, and whether it has announced the downtime. The supervisor
        starts nothing until `enable` is called."""
        self._enabled.clear()
        agent = self.agent
        if agent is None:
            return 0, False
        agent.terminate()
        if not self._lock.acquire(timeout=STOP_LIMIT):
            raise RuntimeError(f"the agent of {self.name} does not stop")
        self._lock.release()
        return self._exit_code, self._is_announced

    def etcd_processes(self):
        """The IDs of the etcds that run on the machine's data."""
        return [process for process in self.host.processes() if self._runs_etcd(process)]

    def _runs_etcd(self, process):
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                return program_of(process) == "etcd" and str(self.data).encode() in file.read()
        except OSError:
            return False

    def _run(self):
        listen = ["--listen-client-urls", self.client_url, "--listen-peer-urls", self.peer_url, "--logger", "zap"]
        command = self.host.command(
            self._programs["convene"], "run", "--adopt", f"--node-listen={self.host.address}:2382", "--",
            self._etcd, *self._node_flags, *listen,
        )
        self._is_announced = False
        with open(self._log, "a") as log:
            self.agent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", env=self._variables())
            self.starts += 1
            self._follow(self.agent, log)
            self._exit_code = self.agent.wait()
            self.agent = None
            log.write(f"supervisor: the agent has ended with {self._exit_code}\n")
        if self._exit_code == REFUSED_FOR_GOOD:
            self.is_refused_for_good = True
            self._enabled.clear()

    def _note(self, line):
        if "announced to the registry: this node does not count as dead" in line:
            self._is_announced = True
