"""A PostgreSQL server of one's own, which can be killed and is started again as a service manager does."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psycopg

_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_START_S, _PAUSE_S = 60.0, 0.3


def program(name: str) -> str | None:
    """Where one of PostgreSQL's programs is; None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, _FOLDERS)]))


class PostgreSQL:
    """A server in a folder of its own, reached by a Unix socket; it writes to the disk before it says that it did.

    It does not run as root: started by root, it runs as nobody.
    """

    def __init__(self) -> None:
        self._who = self._somebody()
        self.folder = Path(tempfile.mkdtemp(prefix="littoral-pg-"))
        os.chown(self.folder, self._who.get("user", -1), -1)
        self._run("initdb", "-D", "data", "-U", "littoral", "--auth", "trust", "-E", "UTF8", "--no-sync")
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://littoral@/fleet?host={self.folder}"

    @staticmethod
    def _somebody() -> dict[str, Any]:
        if os.getuid():
            return {}
        found = pwd.getpwnam("nobody")
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}

    def __enter__(self) -> Self:
        """Start it, with an empty database."""
        self.start()
        end = time.monotonic() + _START_S
        while True:
            try:
                with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
                    connection.execute("CREATE DATABASE fleet")
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        """End it, whoever is connected, and remove its folder."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server; what a killed one left is put in order by itself."""
        words = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}"]
        with (self.folder / "log").open("ab") as log:
            command = [program("postgres") or "postgres", "-D", "data", *words]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._who)

    def tend(self) -> None:
        """Start it again if it has ended; to be called now and then."""
        if self.process is not None and self.process.poll() is not None:
            time.sleep(_PAUSE_S)  # its own children notice, and let go of the shared memory
            self.start()

    def kill(self, *, one: bool) -> bool:
        """kill -9 of the server, or of `one` of the processes that serve a connection; whether there was one."""
        if self.process is None or self.process.poll() is not None:
            return False
        if not one:
            self.process.kill()
            return True
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        for child in children.split():
            words = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"littoral fleet" in words:  # user and database, as it shows itself
                os.kill(int(child), signal.SIGKILL)
                return True
        return False

    def check(self) -> str:
        """What pg_amcheck finds wrong with tables and indexes; "" for nothing, or where it is not installed."""
        if program("pg_amcheck") is None:
            return ""
        words = (
            "--host",
            str(self.folder),
            "-U",
            "littoral",
            "--install-missing",
            "--heapallindexed",
            "fleet",
        )
        done = self._run("pg_amcheck", *words, check=False)
        return "" if done.returncode == 0 else f"pg_amcheck: {(done.stdout + done.stderr).strip()[:300]}"

    def _address(self, name: str) -> str:
        return f"host={self.folder} user=littoral dbname={name} connect_timeout=5"

    def _run(self, name: str, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        found = program(name) or name
        return subprocess.run(
            [found, *words], check=check, capture_output=True, text=True, cwd=self.folder, **self._who
        )
