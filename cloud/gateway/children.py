"""Processes that a gateway keeps running, until it ends itself."""

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LOG = logging.getLogger("cloud.gateway")
_RESTART_S = (1.0, 60.0)
_STDERR = 2
_PATIENCE_S = 5.0  # after SIGTERM


async def keep(command: Sequence[str], needs: Path | None = None) -> None:
    """Run the command, again and again, until cancelled; its process ends with this one, however that ends.

    Args:
        command: the process's words.
        needs: a file without which it is not started.
    """
    setpriv = shutil.which("setpriv")
    front = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
    pause = _RESTART_S[0]
    while True:
        if needs is not None and not needs.exists():
            await asyncio.sleep(1)
            continue
        process = await asyncio.create_subprocess_exec(  # stdout is the gateway's own, and may be closed by who read it
            *front, *command, stdin=asyncio.subprocess.DEVNULL, stdout=_STDERR
        )
        began = time.monotonic()
        try:
            status = await process.wait()
        finally:
            await _end(process)
        pause = _RESTART_S[0] if time.monotonic() - began > 60 else min(2 * pause, _RESTART_S[1])
        _LOG.warning("%s ended with status %d; again in %.0f s", command[3], status, pause)
        await asyncio.sleep(pause)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _PATIENCE_S)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
