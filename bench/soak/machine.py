"""A machine with a disk and a network of its own, and a supervisor such as systemd, which starts the node's program again."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading

RESTART_AFTER = 1.0


class Machine:
    """A node. What the supervisor runs is in the subclasses: `_run` runs it once, to its end."""

    def __init__(self, name, host, folder, programs, discovery_url, on_archive):
        self.name = name
        self.host = host
        self.client_url = f"http://{host.address}:2379"
        self.peer_url = f"http://{host.address}:2380"
        self.disk = folder / name
        self.data = self.disk / "data"
        self._programs = programs
        self._node_flags = [
            "--name", name, "--data-dir", str(self.data),
            "--initial-advertise-peer-urls", self.peer_url, "--advertise-client-urls", self.client_url,
        ]
        self._discovery_url = discovery_url
        self._on_archive = on_archive
        self._log = folder / f"{name}.log"
        # While this file exists, etcd ends at once, as a broken program does.
        self._broken = folder / f"{name}.broken"
        self._etcd = self._write_etcd(folder / f"{name}.bin")
        # Whether the supervisor starts anything.
        self._enabled = threading.Event()
        self._enabled.set()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m", "convene-soak", self.disk], check=True)
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self):
        self._thread.start()

    def close(self):
        """Ends everything on the machine, and its disk."""
        self._over.set()
        self._enabled.set()
        # The supervisor may be about to start something.
        while self._thread.is_alive():
            self.signal_all(signal.SIGKILL)
            self._thread.join(0.1)
        self.signal_all(signal.SIGKILL)
        subprocess.run(["umount", "-l", self.disk], check=False)

    def signal_all(self, what, name=""):
        """Signals all processes of the machine, or those of one program."""
        for process in self.host.processes():
            try:
                if program_of(process).startswith(name):
                    os.kill(process, what)
            except ProcessLookupError:
                pass

    def cut_power(self):
        """Everything on the machine ends, and the supervisor starts nothing until `enable` is called."""
        self._enabled.clear()
        self.signal_all(signal.SIGKILL)
        # The supervisor may have been about to start something.
        while not self._lock.acquire(timeout=0.1):
            self.signal_all(signal.SIGKILL)
        self._lock.release()
        # An etcd outlives its agent.
        self.signal_all(signal.SIGKILL)

    def lose_disk(self, comes_back=True):
        """The machine stops, and comes back with an empty disk: at once, or when `enable` is called."""
        self.cut_power()
        for entry in self.disk.iterdir():
            shutil.rmtree(entry, ignore_errors=True)
        if comes_back:
            self.enable()

    def enable(self):
        """Lets the supervisor start the machine's programs again."""
        self._enabled.set()

    def break_etcd(self):
        """Kills etcd. Each one that is started from now on ends at once."""
        self._broken.touch()
        self.signal_all(signal.SIGKILL, "etcd")

    def repair_etcd(self):
        self._broken.unlink()

    def fill_disk(self):
        """Leaves no room on the disk."""
        with open(self.disk / "filler", "wb") as filler:
            try:
                while True:
                    filler.write(bytes(1 << 20))
            except OSError:
                pass

    def free_disk(self):
        (self.disk / "filler").unlink(missing_ok=True)

    def _supervise(self):
        while not self._over.is_set():
            self._enabled.wait()
            with self._lock:
                if self._enabled.is_set() and not self._over.is_set():
                    self._run()
            self._over.wait(RESTART_AFTER)

    def _variables(self):
        """The environment of Convene's commands on this machine."""
        return {"PATH": os.environ["PATH"], "CONVENE_DISCOVERY": self._discovery_url, "CONVENE_INSECURE_DISCOVERY": "true"}

    def _follow(self, process, log):
        """Passes on what a command of Convene's logs, to its end. An archive is judged by the cluster's state at that moment."""
        for line in process.stderr:
            log.write(line)
            log.flush()
            self._note(line)
            if "archive_data (" in line:
                reason = re.search(r"archive_data \((\w+)\)", line).group(1)
                member = re.search(r"member ([0-9a-f]+)", line)
                self._on_archive(self, reason, member and member.group(1), line.strip())
                # The disk is small.
                for archived in self.disk.glob("data.archived-*"):
                    shutil.rmtree(archived, ignore_errors=True)

    def _note(self, line):
        """Notes what a line of the log says."""

    def _write_etcd(self, folder):
        folder.mkdir()
        program = folder / "etcd"
        program.write_text(
            f'#!/bin/sh\ncase "$*" in *--version*|*--help*) ;; *) [ ! -e {self._broken} ] || exit 1 ;; esac\n'
            f'exec {self._programs["etcd"]} "$@"\n'
        )
        program.chmod(0o755)
        return str(program)


class JoiningMachine(Machine):
    """A machine whose supervisor runs `convene join`, then etcd, and again a second after etcd has ended."""

    def leave(self):
        """Removes the machine's member as an administrator does, and returns whether that succeeded.

        The supervisor starts nothing until `enable` is called.
        """
        self._enabled.clear()
        with open(self._log, "a") as log:
            command = self._convene("leave")
            return subprocess.run(command, stdout=log, stderr=log, env=self._variables(), check=False).returncode == 0

    def is_waiting(self):
        """Whether `convene join` runs and no etcd: the machine is a spare, or is about to start etcd."""
        programs = {program_of(process) for process in self.host.processes()}
        return "convene" in programs and "etcd" not in programs

    def _run(self):
        configuration = self._join()
        if configuration is not None and not self._over.is_set():
            self._run_etcd(configuration)

    def _join(self):
        with open(self._log, "a") as log:
            joining = subprocess.Popen(
                self._convene("join"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._variables()
            )
            output = threading.Thread(target=lambda: setattr(joining, "said", joining.stdout.read()), daemon=True)
            output.start()
            self._follow(joining, log)
            joining.wait()
            output.join()
        return joining.said if joining.returncode == 0 else None

    def _convene(self, verb):
        return self.host.command(self._programs["convene"], verb, *self._node_flags)

    def _run_etcd(self, configuration):
        own = {
            "PATH": os.environ["PATH"],
            "ETCD_LISTEN_CLIENT_URLS": self.client_url,
            "ETCD_LISTEN_PEER_URLS": self.peer_url,
            "ETCD_LOGGER": "zap",
        }
        command = self.host.command("sh", "-c", 'set -a; eval "$1"; exec "$0"', self._etcd, configuration)
        with open(self._log, "a") as log:
            subprocess.run(command, stdout=log, stderr=log, env=own, check=False)


def program_of(process):
    """The name of a process's program; empty if the process has ended."""
    try:
        return pathlib.Path(f"/proc/{process}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
