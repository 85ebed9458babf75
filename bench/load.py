"""Requests to a system that is measured."""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

from usage import Usage

BENCH = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 64


def wrk(side, path, seconds, script=None, **files):
    """Requests a second, the 99th percentile in milliseconds, and what each request cost the side; a script finds its files by
    variables."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(BENCH / script)] if script else []
    environment = os.environ | {name.upper(): str(file) for name, file in files.items()}
    usage = Usage(side.processes)
    printed = subprocess.run(command + [side.url + path], env=environment, check=True, capture_output=True, text=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    if failed or "Socket errors" in printed:
        sys.exit(f"requests failed:\n{printed}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])
    latency, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed).groups()
    return rate, float(latency) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], usage.per(rate * seconds)


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def running_cluster(side, folder):
    """Makes a cluster of three nodes whose etcds run, as far as the registry is told: its URL, and their reports."""
    cluster = call("POST", f"{side.url}/v1/clusters", {"size": 3})
    url = f"{side.url}/v1/clusters/{cluster['token']}"
    nodes = [{"name": f"infra{n}", "run_id": f"run-{n}", "peer_urls": [f"http://10.0.0.{n + 1}:2380"],
              "client_urls": [f"http://10.0.0.{n + 1}:2379"]} for n in range(3)]
    for node in nodes * 2:
        call("POST", f"{url}/check-in", node | {"state": "empty"})
    cluster_id = call("GET", url)["cluster_id"]
    members = call("GET", f"{url}/members")["members"]
    ids = {member["name"]: member["id"] for member in members}
    reports = [node | {"state": "running", "member_id": ids[node["name"]], "cluster_id": cluster_id} for node in nodes]
    for report in reports:
        answer = call("POST", f"{url}/check-in", report)
    # Founders are asked for a view until one shows a leader.
    seen = [{key: member[key] for key in ("id", "name", "peer_urls")} | {"reachable": True} for member in members]
    view = {"since": answer["revision"], "cluster_id": cluster_id, "linearizable": True, "leader": seen[0]["id"],
            "members": seen}
    call("POST", f"{url}/check-in", reports[0] | {"view": view})
    file = folder / "reports"
    file.write_text("".join(json.dumps(report) + "\n" for report in reports))
    return url, file
