"""What the agents take, and whether a machine runs two etcds on its data."""

import os
import pathlib
import threading
import time

INTERVAL = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """Looks at all agents every few seconds."""

    def __init__(self, machines, note):
        # The resident memory at each look, in KiB.
        self.resident = []
        # Seconds of a core, and seconds of time, of all agents together.
        self.cpu = 0.0
        self.elapsed = 0.0
        self._machines = machines
        self._note = note
        # The CPU time of each agent at the last look, and when that was.
        self._last = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(INTERVAL):
            for machine in self._machines:
                self._look_at(machine)
                found = machine.etcd_processes()
                if len(found) > 1:
                    self._note(f"{machine.name} runs two etcds on its data: processes {found}")

    def _look_at(self, machine):
        agent = machine.agent
        try:
            process = pathlib.Path(f"/proc/{agent.pid}")
            fields = (process / "stat").read_text().rsplit(") ", 1)[1].split()
            status = (process / "status").read_text()
        except (AttributeError, OSError):
            return  # No agent runs now.
        now, cpu = time.monotonic(), (int(fields[11]) + int(fields[12])) / TICKS
        before = self._last.get(agent.pid)
        if before:
            self.cpu += cpu - before[1]
            self.elapsed += now - before[0]
        self._last[agent.pid] = (now, cpu)
        resident = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        self.resident += map(int, resident)
