"""`python -m cloud.broker SETTINGS`: the broker of the package as a shard, until it is told to end.

A hang-up (SIGHUP) makes it read the revocation list again, as mosquitto does. Whom it denies something stands on stderr
as mosquitto has it, for `watch`; who has no good certificate does not.
"""

import asyncio
import contextlib
import json
import resource
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

from cloud.limits import Limiter
from federated.link.broker import Broker, serve

_limit = Limiter(20, 100)


def context_of(files: dict[str, str]) -> ssl.SSLContext:
    """TLS that demands certificates of the authority which are not revoked."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["authority"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files["certificate"], files["key"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files["crl"])
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def denied(kind: str, name: str, topic: str) -> None:
    """Tell of it, not too often; a topic may hold anything."""
    if _limit.allow():
        line = f"Denied {kind} from {name} ('{topic[:200]}')".replace("\n", " ").encode("ascii", "replace")
        with contextlib.suppress(OSError):  # nobody reads
            sys.stderr.buffer.write(line + b"\n")
            sys.stderr.buffer.flush()


async def _serve(told: dict[str, Any]) -> None:
    files = told["files"]
    context = context_of(files) if files else None
    loop, left = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, left.set)
    if context:
        loop.add_signal_handler(signal.SIGHUP, context.load_verify_locations, files["crl"])
    broker = Broker(certificates=bool(files), denied=denied)
    serving = asyncio.create_task(serve(broker, told["host"], told["port"], context))
    leaving = asyncio.create_task(left.wait())
    done, _ = await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
    for each in (serving, leaving):
        each.cancel()
    if serving in done:
        serving.result()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def main() -> None:
    """Serve as the file says."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection is an open file
    asyncio.run(_serve(json.loads(Path(sys.argv[1]).read_text("utf-8"))))


if __name__ == "__main__":
    main()
