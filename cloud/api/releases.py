"""The model library: what is published, with the reports that bundles carry; publish and withdraw."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from cloud.api.bodies import NAME
from cloud.api.operations import report_page
from cloud.api.problems import Problem, missing
from cloud.api.services import PREFIX, VIEWER, Admin, Operator, Parts, Services
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError

router = APIRouter(prefix=PREFIX, tags=["releases"])
Named = Annotated[str, Path(pattern=NAME)]
Version = Annotated[int, Path(ge=1, le=1 << 31)]
PICTURES = {".png": "image/png", ".html": "text/html"}


@router.get("/releases", dependencies=[VIEWER])
def list_releases(parts: Parts) -> dict[str, Any]:
    """Every version of every model for every target, with what was measured, and the patches that lead to it."""
    found = parts.releases()
    names = {each.sha256: each.version for each in found}
    return {"releases": [_shown(each, names) for each in found]}


def _shown(each: Any, versions: dict[str, int]) -> dict[str, Any]:
    deltas = [
        {"from": versions.get(digest), "bytes": delta["length"]}
        for digest, delta in each.custom.get("deltas", {}).items()
    ]
    kept = {
        name: getattr(each, name)
        for name in ("name", "version", "target", "path", "sha256", "bytes", "published")
    }
    return kept | {"metrics": each.custom.get("metrics", {}), "deltas": deltas}


@router.get("/releases/{name}/{version}/{target}/files", dependencies=[VIEWER])
def list_files(name: Named, version: Version, target: Named, parts: Parts) -> dict[str, Any]:
    """Names of the pictures and reports that the bundle carries."""
    with _open(parts, name, version, target) as opened:
        shown = [each for each in sorted(opened.manifest.files) if File(each).suffix in PICTURES]
        recipe = [dict(step) for step in opened.manifest.recipe]
        return {"files": shown, "recipe": recipe, "sealed": _sealed(opened)}


def _sealed(opened: Bundle) -> bool:
    """Whether its files cannot be read here: the key is with the devices."""
    smallest = min(opened.manifest.files, key=lambda each: opened.manifest.files[each]["bytes"])
    try:
        opened.read(smallest)
    except BundleError:
        return True
    return False


@router.get("/releases/{name}/{version}/{target}/files/{file}", dependencies=[VIEWER])
def read_file(name: Named, version: Version, target: Named, file: Named, parts: Parts) -> Response:
    """A picture or a report that the bundle carries."""
    kind = PICTURES.get(File(file).suffix)
    with _open(parts, name, version, target) as opened:
        if kind is None or file not in opened.manifest.files or _sealed(opened):
            raise missing("picture or report", file)
        content = opened.read(file)
    return report_page(content) if kind == "text/html" else Response(content, media_type=kind)


@contextlib.contextmanager
def _open(parts: Services, name: str, version: int, target: str) -> Iterator[Bundle]:
    """The bundle, as long as the block lasts."""
    path = f"{name}/{version}/{target}.bundle"
    found = next((each for each in parts.releases() if each.path == path), None)
    if found is None:
        raise missing("release", path)
    content = parts.repository.read(f"blobs/sha256/{found.sha256[:2]}/{found.sha256}")
    with tempfile.NamedTemporaryFile(suffix=".bundle") as file:
        file.write(content)
        file.flush()
        yield Bundle.open(file.name)


@router.post("/releases", status_code=201)
async def publish(
    request: Request,
    parts: Parts,
    actor: Operator,
    name: Annotated[str | None, Query(pattern=NAME)] = None,
    version: Annotated[int | None, Query(ge=1, le=1 << 31)] = None,
    target: Annotated[str | None, Query(pattern=NAME)] = None,
) -> dict[str, Any]:
    """Publish the bundle that is the body; name, version and target are its own unless given."""
    from starlette.concurrency import run_in_threadpool

    with tempfile.NamedTemporaryFile(suffix=".bundle") as file:
        async for chunk in request.stream():
            await run_in_threadpool(file.write, chunk)
        file.flush()
        if not file.tell():
            raise Problem(400, "the body is empty; it should be a bundle's file")
        return await run_in_threadpool(_publish, parts, actor, file.name, name, version, target)


def _publish(
    parts: Services, actor: Any, file: str, name: str | None, version: int | None, target: str | None
) -> dict[str, Any]:
    found = parts.repository.publish(file, name, version, target)
    parts.forget_releases()
    with parts.database.begin() as connection:
        parts.audit(connection, actor, "release.publish", found.path, sha256=found.sha256, bytes=found.bytes)
    return _shown(found, {})


@router.delete("/releases/{name}/{version}", status_code=204)
def withdraw(name: Named, version: Version, parts: Parts, actor: Admin) -> None:
    """Take a version off the list: no device fetches it any more; those that run it go on."""
    parts.repository.withdraw(name, version)
    parts.forget_releases()
    with parts.database.begin() as connection:
        parts.audit(connection, actor, "release.withdraw", f"{name}/{version}")
