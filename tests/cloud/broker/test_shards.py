"""Who may say and hear what at a shard, with mutual TLS: mosquitto as it is installed, and the broker of the package.

A broker of MQTT 3.1.1 has no way to refuse a message, and mosquitto answers every SUBSCRIBE with yes; so what counts
is what arrives.
"""

import contextlib
import signal
import ssl
import time

import pytest

from cloud.identity import Authority
from edge_runtime.messages import topics
from tests.cloud.conftest import Peer, shard, wait

pytestmark = pytest.mark.slow


@pytest.fixture(params=["mosquitto", "embedded"])
def kind(request):
    return request.param


@pytest.fixture
def running(tmp_path, pki, kind):
    with shard(tmp_path / "broker", pki.files, kind) as found:
        yield found


@pytest.fixture
def join(running, pki):
    """A function that connects a client by its certificate."""
    peers = []

    def joined(name, **options):
        peers.append(Peer(name, running[0], pki.credential(name), **options))
        return peers[-1].ready()

    yield joined
    for peer in peers:
        with contextlib.suppress(OSError):
            peer.leave()


def test_each_hears_its_own_and_nobody_elses(join):
    controller = join("controller", wanted=[topics.up("+", "beat")])
    wanted = [
        topics.down("pi-1", "desired"),
        topics.down("pi-2", "desired"),
        topics.through("pi-2", "x", "desired"),
    ]
    nosy = join("pi-1", wanted=wanted)
    for wish in ("#", "littoral/#", topics.down("+", "desired"), topics.up("pi-2", "beat"), "$SYS/#"):
        nosy.client.subscribe(wish, 1)
    own = join("pi-2", wanted=[topics.down("pi-2", "desired")])
    for topic in (
        topics.down("pi-2", "desired"),
        topics.through("pi-2", "x", "desired"),
        topics.up("pi-2", "beat"),
    ):
        controller.say(topic, b"secret")
    own.until(1)
    controller.say(topics.down("pi-1", "desired"), b"yours")
    nosy.until(1)
    assert nosy.got == [(topics.down("pi-1", "desired"), b"yours")]


def test_each_speaks_for_itself_alone(join):
    controller = join(
        "controller",
        wanted=[topics.up("+", "reported"), topics.site_up("+", "batch"), topics.down("+", "desired")],
    )
    spoofer = join("pi-1")
    for topic in (
        topics.up("pi-2", "reported"), topics.site_up("home", "batch"), topics.down("pi-2", "desired"),
        topics.down("pi-1", "desired"), topics.ALL,
    ):  # fmt: skip
        spoofer.say(topic, b"forged")
    spoofer.say(topics.up("pi-1", "reported"), b"honest")
    controller.until(1)
    assert controller.got == [(topics.up("pi-1", "reported"), b"honest")]


def test_a_site_has_its_own_way(join):
    controller = join("controller", wanted=[topics.site_up("+", "batch")])
    home = join("home", wanted=["littoral/v1/s/home/down/#", topics.ALL])
    home.say(topics.site_up("home", "batch"), b"many")
    assert controller.until(1) == [(topics.site_up("home", "batch"), b"many")]
    controller.say(topics.through("home", "pi-7", "desired"), b"wish")
    controller.say(topics.ALL, b"who")
    home.until(2)
    assert home.topics() == [topics.through("home", "pi-7", "desired"), topics.ALL]


def test_the_last_will_is_told(join):
    controller = join("controller", wanted=[topics.up("+", "state")])
    join("pi-1", will=(topics.up("pi-1", "state"), b"gone")).vanish()
    assert controller.until(1) == [(topics.up("pi-1", "state"), b"gone")]


def test_a_will_for_another_is_not_told(join):
    controller = join("controller", wanted=[topics.up("+", "state")])
    join("pi-1", will=(topics.up("pi-2", "state"), b"gone")).vanish()
    join("pi-3").say(topics.up("pi-3", "state"), b"here")
    controller.until(1)
    time.sleep(0.3)
    assert controller.topics() == [topics.up("pi-3", "state")]


def test_nobody_takes_over_anothers_connection(join, running, pki):
    victim = join("pi-2", wanted=[topics.down("pi-2", "desired")])
    thief = Peer("pi-1", running[0], pki.credential("pi-1"), client_id="pi-2")
    with contextlib.suppress(AssertionError):
        thief.ready()
    assert not victim.closed.wait(0.5)
    thief.leave()


def test_without_a_certificate_nobody_gets_in(running, pki):
    context = ssl.create_default_context(cafile=str(pki.authority.certificate))
    assert refused(lambda: Peer("pi-1", running[0], context))
    assert refused(lambda: Peer("pi-1", running[0]))


def test_another_authoritys_certificate_is_refused(running, pki, tmp_path):
    other = Authority.create(tmp_path / "other")
    assert refused(lambda: Peer("pi-1", running[0], pki.credential("pi-1", authority=other)))


def test_an_expired_certificate_is_refused(running, pki):
    assert refused(lambda: Peer("pi-1", running[0], pki.credential("pi-1", days=-0.01)))


def test_a_revoked_certificate_is_refused_and_the_others_are_not(running, pki):
    port, process = running
    bad, good = pki.credential("pi-1"), pki.credential("pi-2")
    Peer("pi-1", port, bad).ready().leave()
    pki.authority.write_crl([(pki.serials["pi-1"], time.time())])
    process.send_signal(signal.SIGHUP)
    wait(lambda: refused(lambda: Peer("pi-1", port, bad)))
    Peer("pi-2", port, good).ready().leave()


def test_what_is_too_long_does_not_arrive(join, kind):
    controller = join("controller", wanted=[topics.up("+", "reported")])
    hostile, honest = join("pi-1"), join("pi-2")
    size = (9 << 20) if kind == "embedded" else (300 << 10)
    hostile.client.publish(topics.up("pi-1", "reported"), b"x" * size, 1)
    assert hostile.closed.wait(10)
    honest.say(topics.up("pi-2", "reported"), b"fine")
    assert controller.until(1) == [(topics.up("pi-2", "reported"), b"fine")]


def test_nothing_is_kept(join):
    controller = join("controller")
    controller.client.publish(topics.down("pi-1", "desired"), b"old", 1, retain=True)
    time.sleep(0.3)
    late = join("pi-1", wanted=[topics.down("pi-1", "desired")])
    time.sleep(0.3)
    assert late.got == []


def refused(connect):
    """Whether the client does not get in."""
    try:
        peer = connect()
    except (ssl.SSLError, OSError):
        return True
    inside = peer.connected.wait(1.0) and not peer.closed.wait(0.3)
    peer.leave()
    return not inside
