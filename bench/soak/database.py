"""PostgreSQL on one machine, and a synchronous standby of it on another one."""

import os
import shutil
import signal
import subprocess
import time

PORT = 5432
# The name by which the primary knows the standby.
STANDBY = "standby"
START_LIMIT = 60
# PostgreSQL refuses to run as root. In a user namespace of its own it is another user, who owns what root owns.
NOT_ROOT = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


class Database:
    """A primary and its standby. A commit waits until the standby has it on its disk."""

    def __init__(self, primary, standby, folder, programs):
        self.url = f"postgres://postgres@{primary.address}:{PORT}/convene"
        self._programs = programs
        self.primary = Node(primary, folder / "primary", programs)
        self.standby = Node(standby, folder / "standby", programs)
        self._make_primary()
        self.primary.start()
        self.query("CREATE DATABASE convene", database="postgres")
        self._make_standby(primary.address)
        self.standby.start()
        self.query(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        self.query("SELECT pg_reload_conf()")
        self._wait_for_standby()

    def query(self, sql, database="convene"):
        """What a statement returns, as text. It goes around the network, so no cut prevents it."""
        command = [self._programs / "psql", "-h", self.primary.folder, "-U", "postgres", "-d", database, "-At", "-c", sql]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    def end_backends(self, condition="true"):
        """Ends the connections of the servers, and returns how many there were."""
        ended = self.query(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = 'convene' AND pid <> pg_backend_pid() AND {condition}",
            database="postgres",
        )
        return int(ended)

    def close(self):
        for node in (self.standby, self.primary):
            node.close()

    def _make_primary(self):
        self.primary.run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        with open(self.primary.data / "pg_hba.conf", "a") as access:
            access.write("host all all 10.77.0.0/16 trust\nhost replication all 10.77.0.0/16 trust\n")

    def _make_standby(self, address):
        self.primary.stop()
        shutil.copytree(self.primary.data, self.standby.data)
        (self.standby.data / "standby.signal").touch()
        with open(self.standby.data / "postgresql.auto.conf", "a") as settings:
            settings.write(f"primary_conninfo = 'host={address} port={PORT} user=postgres application_name={STANDBY}'\n")
        self.primary.start()

    def _wait_for_standby(self):
        deadline = time.monotonic() + START_LIMIT
        while self.query("SELECT sync_state FROM pg_stat_replication") != "sync":
            if time.monotonic() > deadline:
                raise RuntimeError("the standby does not follow the primary")
            time.sleep(0.1)


class Node:
    """One PostgreSQL, which can be stopped, killed and frozen."""

    def __init__(self, host, folder, programs):
        self.folder = folder
        self.data = folder / "data"
        self.address = host.address
        self.host = host
        self._programs = programs
        folder.mkdir()
        self._log = open(folder / "log", "a")
        self._process = None

    def run(self, program, *arguments):
        """Runs one of PostgreSQL's programs on the data directory, on this machine."""
        command = self.host.command(*NOT_ROOT, self._programs / program, *arguments, "-D", self.data)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")

    def start(self):
        """Starts it, and waits until it accepts connections."""
        settings = {
            "listen_addresses": self.host.address, "port": PORT, "unix_socket_directories": self.folder,
            "max_connections": 200, "jit": "off", "fsync": "off",
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        command = self.host.command(*NOT_ROOT, self._programs / "postgres", "-D", self.data, *options)
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + START_LIMIT
        ready = [self._programs / "psql", "-h", self.folder, "-U", "postgres", "-c", "SELECT 1"]
        while subprocess.run(ready, capture_output=True).returncode != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start; see {self.folder}/log")
            time.sleep(0.05)

    def stop(self):
        """Stops it as `pg_ctl stop -m fast` does."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_LIMIT)

    def crash(self):
        """Ends it as `pg_ctl stop -m immediate` does: without a checkpoint, as if the power had failed."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(START_LIMIT)

    def freeze(self):
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def close(self):
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.crash()
        self._log.close()

    def _signal_all(self, number):
        for process in self.host.processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass
