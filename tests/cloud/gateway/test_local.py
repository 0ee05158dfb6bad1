"""Whom a site's broker lets in, and how much of each it takes: real connections, with real certificates."""

import asyncio
import contextlib
import threading
import time

import pytest

from cloud.gateway.local import LocalBroker, server_context
from cloud.gateway.revoked import Revoked
from cloud.identity import Authority
from edge_runtime.errors import TransferError
from edge_runtime.messages import topics
from federated.link.broker import serve
from tests.cloud.conftest import Peer, wait


class Site:
    """A broker on a thread of its own, and what it heard."""

    def __init__(self, context=None, revoked=frozenset()):
        self.heard = []
        self.broker = LocalBroker(
            lambda *said: self.heard.append(said), certificates=context is not None, revoked=revoked
        )
        self.port, self._context = 0, context

    def __enter__(self):
        ready = threading.Event()

        async def run():
            self.loop = asyncio.get_running_loop()
            self._task = asyncio.current_task()
            with contextlib.suppress(asyncio.CancelledError):
                await serve(self.broker, "127.0.0.1", 0, self._context, lambda port: self._told(port, ready))

        self._thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def _told(self, port, ready):
        self.port = port
        ready.set()

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)


def let_in(name, site, context):
    try:
        return Peer(name, site.port, context).connected.wait(3)
    except OSError:
        return False


@pytest.fixture
def revoked(pki, tmp_path):
    return Revoked(tmp_path / "revoked.pem", pki.authority.certificate)


def taken_back(pki, *names):
    return pki.authority.write_crl([(pki.serials[name], time.time()) for name in names]).read_bytes()


def test_who_is_revoked_is_put_out_and_not_let_in_again(pki, revoked):
    contexts = {name: pki.credential(name) for name in ("pi-1", "pi-2")}
    tls = server_context(*(str(path) for path in (pki.files.certificate, pki.files.key, pki.files.authority)))
    with Site(tls, revoked) as site:
        peers = {name: Peer(name, site.port, context).ready() for name, context in contexts.items()}
        assert revoked.take(taken_back(pki, "pi-2"))
        site.loop.call_soon_threadsafe(site.broker.expel)
        assert peers["pi-2"].closed.wait(10)
        assert not let_in("pi-2", site, contexts["pi-2"])
        assert not peers["pi-1"].closed.is_set()
        assert let_in("pi-1", site, contexts["pi-1"])


def test_the_list_outlives_the_process_and_tells_when_it_grows(pki, revoked, tmp_path):
    pki.credential("pi-1"), pki.credential("pi-2")
    first = taken_back(pki, "pi-1")
    assert revoked.take(first)
    assert not revoked.take(first)
    assert not revoked.take(taken_back(pki, "pi-1"))  # a day later it is signed anew
    assert revoked.take(taken_back(pki, "pi-1", "pi-2"))
    again = Revoked(tmp_path / "revoked.pem", pki.authority.certificate)
    assert all(int(pki.serials[name], 16) in again for name in ("pi-1", "pi-2"))


def test_an_older_list_a_foreign_one_and_none_at_all_change_nothing(pki, revoked, tmp_path):
    pki.credential("pi-1")
    before, now = taken_back(pki), taken_back(pki, "pi-1")
    revoked.take(now)
    foreign = Authority.create(tmp_path / "other").crl.read_bytes()
    for wrong in (before, foreign, now[:-40], b"", b"-----BEGIN X509 CRL-----\n"):
        with pytest.raises(TransferError):
            revoked.take(wrong)
    assert int(pki.serials["pi-1"], 16) in revoked
    assert (tmp_path / "revoked.pem").read_bytes() == now


def test_who_floods_is_put_out_and_the_others_are_heard():
    with Site() as site:
        loud, calm = Peer("loud", site.port).ready(), Peer("calm", site.port).ready()
        for _ in range(1000):
            loud.client.publish(topics.up("loud", "beat"), b"{}", 1)
        assert loud.closed.wait(10)
        assert site.broker.flooded == 1
        calm.say(topics.up("calm", "beat"), b"{}")
        wait(lambda: (topics.up("calm", "beat"), b"{}") in site.heard)
        assert sum(topic == topics.up("loud", "beat") for topic, _ in site.heard) < 300
        again = Peer("loud", site.port).ready()  # its allowance comes back with time
        wait(lambda: again.say(topics.up("loud", "state"), b"here") is None)
        assert (topics.up("loud", "state"), b"here") in site.heard
