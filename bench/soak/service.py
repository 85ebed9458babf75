"""A convene-server as a process, which can be killed and frozen."""

import signal
import subprocess


class Service:
    """A program with a log file. Nothing restarts it."""

    def __init__(self, command, log):
        self._command = command
        self._log = open(log, "a")
        self._process = None

    def spawn(self):
        """Starts the program, and does not wait for anything."""
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)

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
