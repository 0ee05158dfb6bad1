"""Power cuts at every step of an update on a real disk; run as a program: ``python -m ... FOLDER`` prints JSON.

Each case is a process of its own, forked: it begins with a device that runs model one, is wished model two (or a bad
one), and dies by SIGKILL just before its k-th durable step. Then the device starts again, without cuts.
"""

import hashlib
import json
import os
import queue
import shutil
import signal
import sys
import time
from pathlib import Path

from edge_runtime.agent import durable
from edge_runtime.agent import events as on
from edge_runtime.agent.errand import INCOMING
from edge_runtime.agent.slots import Slots
from edge_runtime.agent.updating import Updating
from edge_runtime.messages import Desired, Release
from edge_runtime.messages.twin import ENDED

CONTENT = {name: name.encode() * 1000 for name in ("one", "two", "bad")}
DIGEST = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
NAMES = {digest: name for name, digest in DIGEST.items()}


class Here(Updating):
    """The real shell on the real disk; what a child would do is done here, at once."""

    def __init__(self, store):
        self.calls = queue.SimpleQueue()
        self.clock = 0.0
        super().__init__(store, 10, lambda: time.time() + self.clock, self.calls.put, lambda _: None)

    def _begin(self, words, heard, seconds=0.0):
        self._answered = False
        self.calls.put(lambda: heard(self.answer(words)))

    def answer(self, words):
        given = dict(zip(words[2::2], words[3::2], strict=False))
        if words[1] == "fetch":
            sha256 = given["--sha256"]
            folder = self.store / INCOMING / sha256
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{sha256}.bundle").write_bytes(CONTENT[NAMES[sha256]])
            return {"path": "", "moved": 1}
        slot = given["--slot"]
        bad = NAMES[self.slots.release(slot).sha256] == "bad" and slot == self.slots.current()
        return {"error": "it is bad"} if bad else {"passed": {}}

    def settle(self):
        for _ in range(500):
            while not self.calls.empty():
                self.calls.get()()
            if self.state.state in ENDED and self.due() is None:
                return
            wanted = self.due()
            if wanted is not None:
                self.clock += max(0.0, wanted - time.monotonic())
                if self._stuck:
                    self._stuck = (0.0, self._stuck[1])
            self.tend()
        raise AssertionError(self.state)


def wished(name, v):
    release = Release("kws", v, f"kws/{v}/x.bundle", DIGEST[name], len(CONTENT[name]))
    return on.Wish(Desired(v, release, probation_s=10, probes=2))


def answers(store):
    """The model that an application would open now, checked."""
    slots = Slots(store)
    slot = slots.current()
    return NAMES.get(slots.sound(slot), "damaged") if slot else ""


def forked(work):
    """Run in a child; how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def fresh(base, store):
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(base, store, symlinks=True)


def begin(store, name):
    here = Here(store)
    here.boot()
    here.settle()
    here.happen(wished(name, 2))
    here.settle()


def go_on(store):
    here = Here(store)
    here.boot()
    here.settle()


def main(folder):
    base = folder / "base"
    base.mkdir()
    here = Here(base)
    here.boot()
    here.happen(wished("one", 1))
    here.settle()
    assert answers(base) == "one"
    found = []
    for name in ("two", "bad"):
        store = folder / "store"
        for k in range(1, 1000):
            steps = []

            def cut(what, k=k, steps=steps):
                steps.append(what)
                if len(steps) == k:
                    os.kill(os.getpid(), signal.SIGKILL)

            fresh(base, store)
            durable.step = cut
            code = forked(lambda store=store, name=name: begin(store, name))
            durable.step = lambda _what: None
            then = answers(store)
            again = forked(lambda store=store: go_on(store))
            state = json.loads((store / "state.json").read_bytes())
            found.append(
                {"wish": name, "k": k, "cut": code, "then": then, "again": again, "end": answers(store)}
                | {"state": state["state"], "v": state["v"]}
            )
            if code == 0:
                break
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
