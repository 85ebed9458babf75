"""What a system takes for its requests, in numbers that don't depend on how fast the machine is at the moment."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """Measures processes from now on, until `per` is called."""

    def __init__(self, processes):
        self.pids = [process.pid for process in processes]
        self.before = self.read()
        self.perf = None
        if shutil.which("perf"):
            command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", ",".join(map(str, self.pids))]
            self.perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def read(self):
        cpu = sum(map(cpu_seconds, self.pids))
        return cpu, sum(map(written_bytes, self.pids))

    def per(self, requests):
        """Microseconds of CPU, bytes written and system calls for each request; None for what can't be measured here."""
        cpu, written = (after - before for after, before in zip(self.read(), self.before))
        return {"cpu": cpu * 1e6 / requests, "written": written / requests, "syscalls": self.syscalls(requests)}

    def syscalls(self, requests):
        if self.perf is None:
            return None
        self.perf.send_signal(signal.SIGINT)
        counted = re.match(r"(\d+),", self.perf.communicate()[1])
        return int(counted[1]) / requests if counted else None


def cpu_seconds(pid):
    # The name of the program may have spaces.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def written_bytes(pid):
    return int(re.search(r"^write_bytes: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text(), re.M)[1])
