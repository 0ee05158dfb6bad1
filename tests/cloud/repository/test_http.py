import asyncio
import hashlib

import httpx
import pytest

from cloud.repository import Repository
from cloud.repository.http import app
from cloud.repository.storage import blob
from edge_runtime.errors import TransferError
from tests.cloud.repository.made import bundle


@pytest.fixture
def made(tmp_path):
    repository = Repository.create(tmp_path / "repository", tmp_path / "keys")
    repository.publish(bundle(tmp_path / "a.bundle").path)
    return repository


@pytest.fixture
def ask(made):
    def ask(path, method="GET", **headers):
        async def one():
            transport = httpx.ASGITransport(app(made))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.request(
                    method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
                )

        return asyncio.run(one())

    return ask


@pytest.fixture
def big(made):
    (found,) = made.releases()
    return blob(found.sha256), made.read(blob(found.sha256))


def test_a_blob_is_served_whole_and_may_be_kept_for_ever(ask, big):
    path, content = big
    answer = ask(path)
    assert (answer.status_code, answer.content) == (200, content)
    assert int(answer.headers["content-length"]) == len(content)
    assert "immutable" in answer.headers["cache-control"]
    assert hashlib.sha256(content).hexdigest() in answer.headers["etag"]


@pytest.mark.parametrize(
    ("asked", "span"),
    [("0-9", (0, 10)), ("100-", (100, None)), ("-7", (-7, None)), ("5-99999999", (5, None))],
)
def test_a_range_is_served(ask, big, asked, span):
    path, content = big
    answer = ask(path, range=f"bytes={asked}")
    assert (answer.status_code, answer.content) == (206, content[slice(*span)])
    start = span[0] % len(content)
    assert (
        answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{len(content)}"
    )


def test_a_range_beyond_the_end_is_refused_and_an_odd_one_ignored(ask, big):
    path, content = big
    answer = ask(path, range=f"bytes={len(content)}-")
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(content)}")
    for odd in ("bytes=5-2", "lines=1-2", "bytes=1-2,5-6", "bytes=x-"):
        assert ask(path, range=odd).status_code == 200


def test_what_is_known_is_not_sent_again(ask, big):
    path, content = big
    tag = ask(path).headers["etag"]
    assert ask(path, if_none_match=tag).status_code == 304
    assert ask(path, range="bytes=0-1", if_range=tag).status_code == 206
    assert len(ask(path, range="bytes=0-1", if_range='"other"').content) == len(content)


def test_head_says_the_same_without_content(ask, big):
    path, content = big
    answer = ask(path, "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(content)


def test_the_timestamp_is_asked_for_each_time(ask, made):
    first = ask("metadata/timestamp.json")
    made.refresh()
    second = ask("metadata/timestamp.json")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["etag"] != second.headers["etag"]
    assert first.content != second.content


def test_what_is_not_there_or_not_to_be_done(ask, made, monkeypatch):
    assert ask("metadata/9.root.json").status_code == 404
    assert ask("metadata/timestamp.json", "POST").status_code == 405

    def broken(_path):
        raise TransferError("away")

    monkeypatch.setattr(made, "size", broken)
    assert ask("metadata/timestamp.json").status_code == 503
