"""Command: serve."""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.command import Command
from edge_runtime.console import listen, say
from edge_runtime.engines import memory
from edge_runtime.errors import BackendError, InputError
from edge_runtime.files import existing

if TYPE_CHECKING:
    from edge_runtime.serving.app import App


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", help="bundles or .onnx files; NAME=PATH gives another name")
    parser.add_argument("--repository", help="a folder with NAME.bundle or NAME/VERSION.bundle")
    parser.add_argument(
        "--store", help="an agent's folder: the model that answers there, with a record of how it does"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on (default 8080)")
    parser.add_argument("--socket", help="a Unix socket to listen on, in place of the port")
    parser.add_argument("--max-batch", type=int, default=32, help="samples run together at most (default 32)")
    parser.add_argument("--max-queue", type=int, default=256, help="requests that may wait (default 256)")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads within an operator (default: the engine's)"
    )
    parser.add_argument(
        "--memory", type=float, default=0, help="MB that weights and activations may take (default: no limit)"
    )
    parser.add_argument(
        "--watch",
        type=float,
        default=1.0,
        help="seconds between looks for changed files; 0 for none (default 1)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout: where it listens")


def _run(args: argparse.Namespace) -> None:
    # Here, because what a server needs takes long to import, and every command imports this file.
    from edge_runtime.serving.app import App
    from edge_runtime.serving.models import Limits, discover

    if args.max_batch < 1 or args.max_queue < 1 or args.memory < 0:
        raise InputError("--max-batch and --max-queue are at least 1, --memory at least 0")
    if args.store and not args.watch:
        raise InputError("--store changes with the slot, so --watch is more than 0")
    sources: list[tuple[Any, str, str]] = [_source(text) for text in args.models]
    if args.repository:
        sources += discover(args.repository)
    if not sources and not args.store:
        raise InputError("nothing to serve: give bundles, --repository FOLDER, or --store FOLDER")
    try:
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise BackendError("serving needs uvicorn: pip install 'littoral[serve]'") from error
    listen()
    if args.memory:
        memory.share_arena(round(args.memory * 1e6))
    models = [str(path) for path, *_ in sources] + ([args.store] if args.store else [])
    with ExitStack() as stack:
        if args.store:
            from edge_runtime.agent.live import Live

            sources.append((stack.enter_context(Live(args.store, threads=args.threads)), "", ""))
        app = App(sources, Limits(args.max_batch, args.max_queue, args.threads), watch=args.watch)
        _listen(args, app, models)


def _listen(args: argparse.Namespace, app: "App", models: list[str]) -> None:
    import uvicorn

    where = args.socket or f"http://{args.host}:{args.port}/v2"
    say(f"serve {len(models)} models at {where} (stop with Ctrl-C)")
    if args.json:
        print(json.dumps({"at": where, "models": models}), flush=True)
    config = uvicorn.Config(
        app,
        host=args.host,
        port=args.port,
        uds=args.socket,
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="none",  # nothing here speaks WebSocket, and what does takes memory
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        raise BackendError(f"the server did not start at {where}; the line above says why")


def _source(text: str) -> tuple[Path, str, str]:
    name, _, path = text.rpartition("=")
    return existing(path, "a bundle or an .onnx file"), name, ""


SERVE = Command(
    "serve",
    "Serve models over HTTP (Open Inference Protocol v2), batching requests as they come.",
    "littoral serve model.bundle --port 8080",
    _arguments,
    _run,
)
