"""convene-server on a SQLite file and a machine of its own, which can be killed, frozen and set back to an earlier copy."""

import shutil
import time
import urllib.request

from service import Service

START_LIMIT = 60


class Registry(Service):
    """The server and its file."""

    def __init__(self, folder, program, host):
        self.host = host
        address = f"{host.address}:7379"
        self.url = f"http://{address}"
        self._folder = folder / "registry"
        self._folder.mkdir()
        self._copy = folder / "registry-copy"
        command = host.command(
            program, "--listen", address, "--public-url", self.url,
            "--database-url", f"sqlite:{self._folder / 'convene.db'}", "--auth", "off", "--allow-unauthenticated",
        )
        super().__init__(command, folder / "server.log")

    def start(self):
        """Starts the server, and waits until it answers."""
        self.spawn()
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("convene-server does not answer; see server.log")

    def keep_copy(self):
        """Keeps the file as it is now. The server does not run meanwhile."""
        self.kill()
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._folder, self._copy)
        self.start()

    def restore_copy(self):
        """Sets the database back, as a restore from a backup does: what stands beside it stays."""
        self.kill()
        for file in self._folder.glob("convene.db*"):
            if file.name in ("convene.db", "convene.db-wal", "convene.db-shm"):
                file.unlink()
        for file in self._copy.glob("convene.db*"):
            if file.name in ("convene.db", "convene.db-wal", "convene.db-shm"):
                shutil.copy(file, self._folder / file.name)
        self.start()
