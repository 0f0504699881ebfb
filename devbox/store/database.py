"""The state file: one SQLite database, opened by each command and closed again."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping

from devbox.errors import HostError, StoreError
from devbox.store import reserve
from devbox.store.root import Root
from devbox.store.schema import MIGRATIONS

BUSY_TIMEOUT_SECONDS = 60.0
EVENTS_KEPT = 10_000
CHECKPOINT_PAGES = 100
"""small, because the next command reads the log anew when its last one did not close the database"""
_PAGE = 4096


class Store:
    """The root with its database.

    Reads outside a transaction see the latest commit and never wait for a writer. Writes go through
    `transaction`, which takes the write lock at once, so what was read inside it is still true when it commits.
    """

    def __init__(self, root: Root, db: sqlite3.Connection) -> None:
        self.root = root
        self.db = db

    @classmethod
    def open(cls, root: Root | None = None) -> Store:
        """Create what is missing and bring the tables up to date.

        Raises HostError without the right to write there, StoreError for a damaged or newer state file.
        """
        root = root or Root.from_environment()
        try:
            db = _connect(root)
        except PermissionError as error:
            raise HostError(
                f"cannot use {root.state}: {os.strerror(error.errno or 0).lower()}",
                hint="run devbox as root, or set DEVBOX_ROOT to a directory of yours",
            ) from error
        except sqlite3.DatabaseError as error:
            if os.statvfs(root.state).f_flag & os.ST_RDONLY:
                raise StoreError(
                    f"{root.state} is on a read-only file system",
                    hint="mount it writable, or set DEVBOX_ROOT to another directory",
                ) from error
            raise StoreError(
                f"cannot open {root.database}: {error}", hint="run 'devbox check --repair'"
            ) from error
        return cls(root, db)

    def close(self) -> None:
        """Close the database; the store may not be used afterwards."""
        self.db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit durably at the end, roll back on any exception.

        What is not `durable` becomes so with the next commit that is: for the steps of a command before the one
        that it tells of.
        """
        if not durable:
            self.db.execute("PRAGMA synchronous = NORMAL")
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield self.db
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:  # a full disk rolls back by itself
                self.db.execute("ROLLBACK")
            raise
        finally:
            if not durable:
                self.db.execute("PRAGMA synchronous = FULL")

    def event(self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None) -> None:
        """Record an event for `devbox events`; inside a transaction it is part of it."""
        self.db.execute(
            "INSERT INTO events (at, type, action, actor, attributes_json) VALUES (?, ?, ?, ?, ?)",
            (time.time(), kind, action, actor, json.dumps(attributes or {})),
        )
        sequence = self.db.execute("SELECT last_insert_rowid()").fetchone()[0]
        if sequence % 1000 == 0:
            self.db.execute("DELETE FROM events WHERE seq <= ?", (sequence - EVENTS_KEPT,))


def is_fault(error: BaseException | None) -> bool:
    """Whether a failure is that of a disk that is full, fails or is read-only, or of too few descriptors."""
    from devbox.system.walk import FAULTS

    if isinstance(error, StoreError):
        error = error.__cause__
    if isinstance(error, OSError):
        return error.errno in FAULTS
    name = getattr(error, "sqlite_errorname", "") if isinstance(error, sqlite3.Error) else ""
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN"))


def _connect(root: Root) -> sqlite3.Connection:
    if not os.path.exists(root.database):
        _create_directories(root)
    _keep_private(root.run)
    db = sqlite3.connect(
        root.database, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    db.execute("PRAGMA foreign_keys = ON")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != len(MIGRATIONS):
        _migrate(root, db)
    if not os.path.exists(root.reserve):
        reserve.keep(root)
    return db


def _create_directories(root: Root) -> None:
    # for root alone: images hold setuid programs, and the state file has the variables that containers are given
    os.makedirs(root.state, mode=0o700, exist_ok=True)
    for name in (root.blobs, root.blobs + "/sha256", root.layers, root.volumes, root.scratch, root.containers):
        os.makedirs(name, mode=0o700, exist_ok=True)
    os.close(os.open(root.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _keep_private(directory: str) -> None:
    """A directory for root alone: a bundle below it has the variables of its container, secrets among them."""
    try:
        if stat.S_IMODE(os.stat(directory).st_mode) & 0o077:
            os.chmod(directory, 0o700)
    except FileNotFoundError:
        os.makedirs(directory, mode=0o700, exist_ok=True)


def _set_journal_mode(db: sqlite3.Connection, mode: str) -> None:
    """Wait for others that open the file just now, which SQLite does not do here in spite of its time-out."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            db.execute(f"PRAGMA journal_mode = {mode}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _migrate(root: Root, db: sqlite3.Connection) -> None:
    # with smaller blocks a page of the log's shared memory may find no room when it is written: a SIGBUS
    mode = "WAL" if os.statvfs(root.state).f_bsize >= _PAGE else "TRUNCATE"
    _set_journal_mode(db, mode)
    db.execute("BEGIN IMMEDIATE")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        db.execute("ROLLBACK")
        raise StoreError(
            f"{root.database} was written by a newer devbox (schema {version}, this one knows {len(MIGRATIONS)})",
            hint="install the newer devbox again, or use another DEVBOX_ROOT",
        )
    for migration in MIGRATIONS[version:]:
        for statement in _statements(migration):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    db.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit the transaction that makes a migration all or nothing
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
