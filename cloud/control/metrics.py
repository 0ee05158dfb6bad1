"""The controller's figures in Prometheus' text form (version 0.0.4), by HTTP on a Unix socket or a loopback port."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

_LINE_LIMIT = 8192
_PATIENCE_S = 5.0


class Metric(NamedTuple):
    """One metric: `values` by the value of its only label, "" where it has none."""

    name: str
    kind: str
    help: str
    values: Mapping[str, float]
    label: str = ""


def text(metrics: list[Metric]) -> str:
    """The metrics as text.

    >>> print(text([Metric("littoral_devices", "gauge", "Devices.", {"": 3})]), end="")
    # HELP littoral_devices Devices.
    # TYPE littoral_devices gauge
    littoral_devices 3
    """
    lines = []
    for each in metrics:
        lines += [f"# HELP {each.name} {each.help}", f"# TYPE {each.name} {each.kind}"]
        for value, number in sorted(each.values.items()):
            chosen = f'{{{each.label}="{value}"}}' if each.label else ""
            lines.append(
                f"{each.name}{chosen} {number:g}" if number < 1e6 else f"{each.name}{chosen} {number:.0f}"
            )
    return "\n".join(lines) + "\n"


async def serve(
    give: Callable[[], list[Metric]], socket: Path | None = None, port: int | None = None
) -> list[asyncio.Server]:
    """Serve GET /metrics on the socket, the port of the loopback, or both."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                asked = await reader.readline()
                while (await reader.readline()).strip():
                    pass
                known = asked.split(b" ")[:2] == [b"GET", b"/metrics"]
                body = text(give()).encode() if known else b"GET /metrics is served\n"
                front = "200 OK" if known else "404 Not Found"
                head = f"HTTP/1.1 {front}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
                writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # who asks has gone, or asks what is no HTTP
        finally:
            writer.close()

    servers: list[asyncio.Server] = []
    if socket:
        socket.parent.mkdir(parents=True, exist_ok=True)
        socket.unlink(missing_ok=True)
        servers.append(await asyncio.start_unix_server(answer, socket, limit=_LINE_LIMIT))
        socket.chmod(0o600)
    if port is not None:
        servers.append(await asyncio.start_server(answer, "127.0.0.1", port, limit=_LINE_LIMIT))
    return servers
