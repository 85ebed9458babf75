"""Several servers on one database, each on a machine of its own."""

import signal
import subprocess
import time
import urllib.request

START_LIMIT = 60


class Server:
    """One convene-server, which can be killed and frozen."""

    def __init__(self, number, host, folder, program, database_url):
        self.number = number
        self.host = host
        self.address = f"{host.address}:7379"
        self._log = open(folder / f"server{number}.log", "a")
        self._command = host.command(
            program, "--listen", self.address, "--public-url", f"http://{self.address}", "--database-url", database_url,
        )
        self._process = None

    def start(self):
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self):
        self._process.kill()
        self._process.wait()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.kill()
        self._log.close()


def wait_until_ready(servers, limit=START_LIMIT):
    """Waits until all servers are ready, and returns how long that took."""
    began = time.monotonic()
    while not all(server.is_ready() for server in servers):
        if time.monotonic() - began > limit:
            late = [server.number for server in servers if not server.is_ready()]
            raise RuntimeError(f"servers {late} are not ready after {limit} s")
        time.sleep(0.1)
    return time.monotonic() - began
