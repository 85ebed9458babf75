"""The systems that are measured: servers on their databases, the pair that they replace, and axum alone."""

import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SERVER = TARGET / "dist/convene-server"
# The clients of a benchmark come from a few addresses and ask for as much as they can.
UNLIMITED = ["--max-requests-per-second", "0", "--max-total-requests-per-second", "0", "--max-new-per-hour", "0",
             "--max-clusters", "100000000", "--max-clusters-per-address", "0", "--max-database-bytes", "100GiB"]
EXAMPLES = TARGET / "dist/examples"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
PEERS = pathlib.Path(os.environ.get("CONVENE_TEST_PEERS", CACHE / "convene/peers"))


def build(anew, examples):
    """Builds the server and examples if they are missing, or anew, as they are shipped."""
    if anew or not all(program.exists() for program in [SERVER, *(EXAMPLES / name for name in examples)]):
        command = ["cargo", "build", "--profile", "dist", "--locked"]
        subprocess.run(command + ["--bins"], cwd=ROOT, check=True)
        for name in examples:
            subprocess.run(command + ["--package", "convene-server", "--example", name], cwd=ROOT, check=True)
    print(f"measures {SERVER}, built {time.ctime(SERVER.stat().st_mtime)}", file=sys.stderr)


class Side:
    """A running system under measurement."""

    def __init__(self, name, url, processes):
        self.name, self.url, self.processes = name, url, processes

    def resident_mib(self):
        def kib(process):
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

        return sum(map(kib, self.processes)) / 1024

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait()


def convene(folder):
    url, process = server(f"sqlite:{folder}/convene.db", folder / "convene.log")
    return Side("convene-server", url, [process])


def server(database_url, log):
    url = f"http://127.0.0.1:{free_port()}"
    command = [SERVER, "--listen", url.removeprefix("http://"), "--database-url", database_url, "--auth", "off"]
    return url, start(command + UNLIMITED, url + "/livez", log)


def postgres(folder):
    """A PostgreSQL on the same disk: the URL of its database, and its process."""
    programs, data, port = PEERS / "postgresql/bin", folder / "postgres", free_port()
    # It refuses to run as root, so root is somebody else to it.
    not_root = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
    initdb = [programs / "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--pgdata", data]
    subprocess.run(not_root + list(map(str, initdb)), check=True, capture_output=True)
    command = not_root + [programs / "postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
                          "-c", "unix_socket_directories=", "-c", "jit=off"]
    process = subprocess.Popen(list(map(str, command)), stdout=open(folder / "postgres.log", "wb"), stderr=subprocess.STDOUT)
    wait_until(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process, folder / "postgres.log")
    return f"postgres://postgres@127.0.0.1:{port}/postgres", process


def convene_on_postgres(folder):
    database_url, database = postgres(folder)
    url, process = server(database_url, folder / "on-postgres.log")
    return Side("convene-server on PostgreSQL", url, [process, database])


def replicas(folder, count):
    """Several servers on a PostgreSQL of their own, each request to any one of them."""
    folder = folder / "replicas"
    folder.mkdir()
    database_url, database = postgres(folder)
    servers = [server(database_url, folder / f"convene-{number}.log") for number in range(count)]
    port = free_port()
    lines = "".join(f"    server convene-{number} {url.removeprefix('http://')}\n" for number, (url, _) in enumerate(servers))
    (folder / "haproxy.cfg").write_text(
        "defaults\n    mode http\n    balance random\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n"
        f"listen all\n    bind 127.0.0.1:{port}\n{lines}")
    url = f"http://127.0.0.1:{port}"
    proxy = start([PEERS / "haproxy/bin/haproxy", "-f", folder / "haproxy.cfg"], url + "/livez", folder / "haproxy.log")
    return Side(f"{count} of them behind HAProxy", url, [process for _, process in servers] + [proxy, database])


def bare(folder, side):
    """axum alone, with the bytes that a server answers to a read of a cluster of three."""
    with urllib.request.urlopen(f"{side.url}/new?size=3") as created:
        token = created.read().decode().rsplit("/", 1)[1]
    for member in range(3):
        body = f"value=infra{member}%3Dhttp%3A%2F%2F10.0.0.{member + 1}%3A2380".encode()
        urllib.request.urlopen(urllib.request.Request(f"{side.url}/{token}/{member + 1:016x}", body, method="PUT")).close()
    url, file = f"http://127.0.0.1:{free_port()}", folder / "body"
    with urllib.request.urlopen(f"{side.url}/{token}") as read:
        file.write_bytes(read.read())
    process = start([EXAMPLES / "bare", url.removeprefix("http://"), file], url + "/x", folder / "bare.log")
    return Side("axum alone", url, [process])


def pair(folder):
    etcd_url, peer_url, url = (f"http://127.0.0.1:{free_port()}" for _ in range(3))
    etcd = [PEERS / "etcd-3.4/etcd", "--enable-v2", "--data-dir", folder / "etcd", "--initial-cluster",
            f"default={peer_url}", "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
            "--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url]
    # The Go server wants its configuration in /etc, so it gets an /etc of its own.
    etc = folder / "etc/etcd-discovery"
    etc.mkdir(parents=True)
    (etc / "etcd-discovery.conf").write_text("[server]\n[etcd]\n")
    discovery = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"',
                 etc.parent, PEERS / "discovery/discovery.etcd.io", "-e", etcd_url, "-h", url,
                 "-a", url.removeprefix("http://")]
    return Side("etcd-discovery + etcd 3.4", url, [
        start(etcd, etcd_url + "/health", folder / "etcd.log"),
        start(discovery, url + "/health", folder / "discovery.log"),
    ])


def start(command, health_url, log):
    process = subprocess.Popen(list(map(str, command)), stdout=open(log, "wb"), stderr=subprocess.STDOUT)
    wait_until(lambda: urllib.request.urlopen(health_url, timeout=1).close(), process, log)
    return process


def wait_until(answers, process, log):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return answers()
        except OSError:
            time.sleep(0.05)
    process.kill()
    sys.exit(f"{process.args[0]} does not answer; see {log}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
