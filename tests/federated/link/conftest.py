"""Keys, and a broker of each kind that is installed."""

import os
import secrets
import shutil
import threading

import pytest

from federated.link import brokers
from federated.link.brokers import Listener
from federated.link.keys import COORDINATOR, KEY_BYTES, Key
from federated.link.mqtt import Address

KINDS = ["embedded", "mosquitto"]


def key(device, number=0):
    return Key(device, number, secrets.token_bytes(KEY_BYTES))


def address_of(port, owner, **more):
    return Address("127.0.0.1", port, user=owner.device, password=owner.password, **more)


class Ring:
    """Three enrolled devices and the coordinator."""

    def __init__(self):
        self.devices = {name: key(name, number) for number, name in enumerate(("ann", "bob", "eve"))}
        self.own = key(COORDINATOR)
        self.passwords = brokers.passwords(self.devices, self.own)


@pytest.fixture(scope="module")
def ring():
    return Ring()


def run(kind, known, listener=None):
    if kind == "mosquitto" and not shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip("mosquitto is not installed")
    return getattr(brokers, kind)(listener or Listener(), known)


@pytest.fixture(scope="module", params=KINDS)
def port(request, ring):
    with run(request.param, ring.passwords) as running:
        yield running.port


class Inbox:
    """What came, and waiting for it."""

    def __init__(self):
        self.found = []
        self._changed = threading.Condition()

    def __call__(self, *what):
        with self._changed:
            self.found.append(what)
            self._changed.notify_all()

    def wait(self, count, timeout=60):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.found) >= count, timeout), self.found
            return self.found
