"""What could be had at best on this machine: axum alone for reads, and transactions prepared by hand for writes."""

import pathlib
import sqlite3
import time

# As many as clients that wait for an answer, so as many as the server finds waiting when it begins a commit.
ROWS_A_COMMIT = 64


def writes_a_second(database, folder, seconds):
    """Clusters a second that one thread writes into a copy of the server's database, each with its event. Every 64 rows are a
    transaction of two prepared statements, which is synced to the disk before the next one begins."""
    copy = pathlib.Path(folder) / "limit.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        return written_in(connection, seconds)
    finally:
        connection.close()
        for ending in ("", "-wal", "-shm"):
            pathlib.Path(f"{copy}{ending}").unlink(missing_ok=True)


def written_in(connection, seconds):
    for pragma in ("journal_mode = wal", "synchronous = full", "locking_mode = exclusive"):
        connection.execute(f"pragma {pragma}").fetchall()
    insert_cluster, cluster = last_row(connection, "cluster", "order by id desc")
    insert_event, event = last_row(connection, "event", f"where cluster = {cluster['id']}")
    number, begin = 0, time.monotonic()
    while time.monotonic() < begin + seconds:
        rows = range(number + 1, number + 1 + ROWS_A_COMMIT)
        number = rows[-1]
        new = [cluster | {"id": cluster["id"] + row, "token": f"{row:032x}"} for row in rows]
        connection.execute("begin immediate")
        connection.executemany(insert_cluster, (tuple(one.values()) for one in new))
        connection.executemany(insert_event, (tuple((event | {"cluster": one["id"]}).values()) for one in new))
        connection.execute("commit")
    return number / (time.monotonic() - begin)


def last_row(connection, table, which):
    """A statement that inserts into a table, and a row to begin with."""
    found = connection.execute(f"select * from {table} {which} limit 1")
    names = [column[0] for column in found.description]
    values = found.fetchone()
    marks = ", ".join("?" * len(names))
    return f"insert into {table} ({', '.join(names)}) values ({marks})", dict(zip(names, values))

