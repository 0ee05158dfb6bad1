"""`python -m cloud.serving --home DIR`: API, console and repository on one port, until it is told to end."""

import argparse
import threading
from pathlib import Path
from typing import Any

import uvicorn

from cloud import logs
from cloud.api import create_app
from cloud.database import Database
from cloud.home import Home
from cloud.identity import Authority
from cloud.settings import Settings

_REFRESH_S = 3600.0  # how often the repository's timestamp is signed anew


def with_authority(app: Any, pem: bytes) -> Any:
    """The ASGI application, and GET /ca: the authority's certificate, which a device compares with what it was told."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/ca" and scope["method"] in ("GET", "HEAD"):
            headers = [(b"content-type", b"application/x-pem-file"), (b"content-length", b"%d" % len(pem))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            body = pem if scope["method"] == "GET" else b""
            await send({"type": "http.response.body", "body": body})
        else:
            await app(scope, receive, send)

    return answer


def serve(home: Home, settings: Settings) -> None:
    """Serve until SIGTERM."""
    database = Database(settings.database_url(home))
    authority = Authority(home.ca)
    app = create_app(home, database, url=settings.url, brokers=settings.broker_urls)
    tls: dict[str, str] = {}
    if settings.tls:
        certificate, key = authority.server(home.ca / "server", "server", settings.hosts)
        tls = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    refreshing = threading.Thread(target=_refresh, args=(home, database), daemon=True)
    refreshing.start()
    uvicorn.run(
        with_authority(app, authority.pem.encode()), host=settings.listen, port=settings.port, log_level="warning",
        access_log=False, backlog=2048, timeout_graceful_shutdown=5, server_header=False, **tls,
    )  # fmt: skip


def _refresh(home: Home, database: Database) -> None:
    """Once an hour: sign the repository's timestamp, and write the audit log's head where the database does not reach.

    By the timestamp devices can tell that nobody holds back what is newest.
    """
    import logging
    import time

    from cloud.audit import Anchor, Audit
    from cloud.repository import Repository
    from edge_runtime.errors import LittoralError

    audit = Audit(database)
    while True:
        try:
            Repository.open(home.repository, home.keys).refresh()
            Anchor.with_key(home.anchor, home.keys / "anchor.key").write(audit)
        except (LittoralError, OSError) as error:
            logging.getLogger("cloud.serving").warning("the hourly work failed: %s", error)
        time.sleep(_REFRESH_S)


def main() -> None:
    """Serve as the folder's settings say."""
    parser = argparse.ArgumentParser(prog="python -m cloud.serving", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the cloud's folder")
    home = Home(parser.parse_args().home)
    logs.setup()
    serve(home, Settings.load(home))


if __name__ == "__main__":
    main()
