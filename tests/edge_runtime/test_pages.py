"""Large pages: which memory is gathered, that it stays what it was, and when a session asks for it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import Session, profile, session
from edge_runtime.engines import pages
from tests.models import cnn, images

MIB = 1 << 20
MAPS = """\
55d000000000-55d000a00000 rw-p 00000000 00:00 0                          [heap]
7f0000100000-7f0000500000 rw-p 00000000 00:00 0 
7f0000500000-7f0000600000 rw-p 00000000 00:00 0 
7f0001000000-7f0002000000 r--p 00000000 00:00 0 
7f0003000000-7f0004000000 rw-p 00000000 08:01 1234                       /usr/lib/libx.so
7f0005000000-7f0006000000 rw-s 00000000 00:01 77                         /dev/shm/shared
7ffc00000000-7ffc01000000 rw-p 00000000 00:00 0                          [stack]
"""  # noqa: W291  (as the kernel writes them)


def test_only_private_memory_that_holds_a_large_page_counts():
    found = list(pages.private(MAPS, 2 * MIB))
    assert found == [(0x55D000000000, 0x55D000A00000), (0x7F0000200000, 0x7F0000400000)]


CODE = """if True:
    import numpy as np
    from edge_runtime.engines import pages
    def kilobytes(name):
        lines = open("/proc/self/smaps_rollup").read().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])
    used, spare = np.arange(1 << 23), np.empty(1 << 23)
    before = kilobytes("Rss:")
    gathered = pages.gather()
    print(gathered >> 10, kilobytes("AnonHugePages:"), kilobytes("Rss:") - before, int(used.sum()))
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_what_is_in_use_is_gathered_and_what_is_not_stays_free():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    gathered, large, more, total = map(int, done.stdout.split())
    assert total == (1 << 22) * ((1 << 23) - 1)
    assert more < 8 * 1024, "64 MiB that were never touched are still not there"
    if gathered:  # a kernel that can
        assert large >= 56 * 1024


def test_another_system_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "_SIZE", tmp_path / "nothing")
    assert pages.gather() == 0


@pytest.mark.parametrize("variable", [None, profile.MARKS_VARIABLE, profile.EMULATED_VARIABLE])
def test_a_session_asks_once_it_has_run_for_a_while_and_not_where_runs_are_counted(monkeypatch, variable):
    asked = []
    monkeypatch.setattr(session, "_LARGE", 0)
    monkeypatch.setattr(pages, "gather", lambda: asked.append(1))
    if variable:
        monkeypatch.setenv(variable, "1")
    model = Session(cnn().SerializeToString(), threads=1)
    x = {"images": images(1)}
    answers = []
    for k in range(40):
        assert len(asked) == (0 if variable or k < 16 else 1)
        answers.append(model.run(x)["logits"])
    np.testing.assert_array_equal(np.concatenate(answers), np.repeat(answers[0], 40, axis=0))


def test_a_small_model_is_not_worth_it(monkeypatch):
    monkeypatch.setattr(pages, "gather", lambda: pytest.fail("asked"))
    model = Session(cnn().SerializeToString(), threads=1)
    for _ in range(40):
        model.run({"images": images(1)})


def test_names_of_the_emulator_s_variables_are_those_of_profile():
    assert session._EMULATED == (profile.MARKS_VARIABLE, profile.EMULATED_VARIABLE)
