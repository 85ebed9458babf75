"""convene-server on a SQLite file, which can be killed, frozen and set back to an earlier copy."""

import shutil
import signal
import subprocess
import time
import urllib.request

START_LIMIT = 60


class Registry:
    """The server and its file."""

    def __init__(self, folder, program, address):
        self.url = f"http://{address}:7379"
        self._folder = folder / "registry"
        self._folder.mkdir()
        self._copy = folder / "registry-copy"
        self._log = open(folder / "server.log", "a")
        self._command = [
            program, "--listen", f"{address}:7379", "--public-url", self.url,
            "--database-url", f"sqlite:{self._folder / 'convene.db'}",
        ]
        self._process = None

    def start(self):
        """Starts the server, and waits until it answers."""
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("convene-server does not answer; see server.log")

    def kill(self):
        self._process.kill()
        self._process.wait()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

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

    def close(self):
        if self._process is not None:
            self.thaw()
            self.kill()
        self._log.close()
