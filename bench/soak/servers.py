"""Several servers on one database, each on a machine of its own."""

import time
import urllib.request

from service import Service

START_LIMIT = 60


class Server(Service):
    """One convene-server."""

    def __init__(self, number, host, folder, program, database_url):
        self.number = number
        self.host = host
        self.address = f"{host.address}:7379"
        command = host.command(
            program, "--listen", self.address, "--public-url", f"http://{self.address}", "--database-url", database_url,
            "--auth", "off", "--allow-unauthenticated",
        )
        super().__init__(command, folder / f"server{number}.log")

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


def wait_until_ready(servers, limit=START_LIMIT):
    """Waits until all servers are ready, and returns how long that took."""
    began = time.monotonic()
    while not all(server.is_ready() for server in servers):
        if time.monotonic() - began > limit:
            late = [server.number for server in servers if not server.is_ready()]
            raise RuntimeError(f"servers {late} are not ready after {limit} s")
        time.sleep(0.1)
    return time.monotonic() - began
