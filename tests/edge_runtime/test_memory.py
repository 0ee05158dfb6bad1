"""What the sessions of a process share: an arena with a limit, a pool of threads, and the fast cores."""

import subprocess
import sys

import pytest

from edge_runtime.engines import memory
from edge_runtime.errors import BackendError, InputError
from tests.models import cnn


def alone(code, tmp_path):
    """Run code in a process of its own, since what is shared belongs to the process; its output."""
    (tmp_path / "m.onnx").write_bytes(cnn().SerializeToString())
    text = f"""if True:
        import sys
        import numpy as np
        from edge_runtime import Session
        from edge_runtime.engines import memory
        from edge_runtime.errors import BackendError, LittoralError, ModelError
        path = {str(tmp_path / "m.onnx")!r}
        x = np.ones((2, 3, 8, 8), np.float32)
        {code}"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_a_batch_beyond_the_limit_is_refused_and_the_session_goes_on(tmp_path):
    said = alone(
        """
        memory.share_arena(1 << 20)
        session = Session(path, threads=1)
        wanted = session.run({"images": x})["logits"]
        try:
            session.run({"images": np.ones((5000, 3, 8, 8), np.float32)})
        except ModelError as error:
            print(error)
        print(np.array_equal(session.run({"images": x})["logits"], wanted))
        """,
        tmp_path,
    )
    assert "failed while running" in said[0]
    assert "Available memory" in said[0]
    assert said[1] == "True"


def test_models_that_do_not_fit_together_are_refused_when_opened(tmp_path):
    said = alone(
        """
        import os
        size = os.path.getsize(path)
        memory.share_arena(2 * size + size // 2)
        kept = [Session(path, threads=1), Session(path, threads=1)]
        try:
            Session(path, threads=1)
        except ModelError as error:
            print(error)
        kept.pop()
        Session(path, threads=1)
        print("closed one, opened one")
        """,
        tmp_path,
    )
    assert "do not fit" in said[0]
    assert said[1] == "closed one, opened one"


def test_the_arena_has_one_limit(tmp_path):
    said = alone(
        """
        Session(path, threads=1)
        memory.share_arena()
        try:
            memory.share_arena(1 << 20)
        except BackendError as error:
            print(error)
        """,
        tmp_path,
    )
    assert "before the first session" in said[0]


def test_sessions_share_one_pool_of_threads(tmp_path):
    said = alone(
        """
        import os
        memory.share_threads(3)
        before = len(os.listdir("/proc/self/task"))
        sessions = [Session(path) for _ in range(4)]
        answers = {s.run({"images": x})["logits"].tobytes() for s in sessions}
        print(len(os.listdir("/proc/self/task")) - before, len(answers))
        """,
        tmp_path,
    )
    count, answers = map(int, said[0].split())
    assert count <= 2
    assert answers == 1


def test_sessions_share_one_arena(tmp_path):
    """Ten sessions take less than ten arenas: the activations of one are those of the next."""
    code = """
        big = np.ones((3000, 3, 8, 8), np.float32)
        def resident():
            return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])
        sessions = [Session(path, threads=1) for _ in range(8)]
        for session in sessions[:1] * 3:
            session.run({"images": big})
        one = resident()
        for session in sessions * 3:
            session.run({"images": big})
        print(resident() - one, one)
        """
    more, _ = map(int, alone(code, tmp_path)[0].split())
    assert more < 8 * 1024, "kilobytes that seven more sessions took; each alone takes 9 MB"


@pytest.mark.parametrize(("call", "value"), [(memory.share_arena, -1), (memory.share_threads, 0)])
def test_bad_numbers_are_refused(call, value):
    with pytest.raises(InputError, match="expected"):
        call(value)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("cpu_capacity", [446, 446, 1024, 1010], (2, 3)),
        ("cpufreq/cpuinfo_max_freq", [1800000, 1800000, 2400000, 2400000], (2, 3)),
        ("cpufreq/cpuinfo_max_freq", [1800000] * 4, (0, 1, 2, 3)),
        ("cpu_capacity", [], (0, 1, 2, 3)),
        ("cpu_capacity", ["broken"] * 4, (0, 1, 2, 3)),
    ],
)
def test_fast_cores_are_those_that_the_kernel_says(name, values, expected, tmp_path):
    for core, value in enumerate(values):
        path = tmp_path / f"cpu{core}" / name
        path.parent.mkdir(parents=True)
        path.write_text(f"{value}\n")
    assert memory.big_cores(range(4), tmp_path) == expected


def test_a_process_without_a_pool_of_its_own_says_when_it_is_too_late(monkeypatch):
    monkeypatch.setattr(memory, "_state", {"arena": 0})
    with pytest.raises(BackendError, match="before the first session"):
        memory.share_threads(2)


def test_the_first_file_of_a_process_starts_without_giving_back(tmp_path):
    said = alone(
        """
        from edge_runtime.engines import onnx
        given = []
        onnx.give_back = lambda: given.append(1)
        kept = [Session(path, threads=1)]
        print(len(given))
        kept.append(Session(path, threads=1))
        print(len(given))
        kept.clear()
        Session(open(path, "rb").read(), threads=1)
        print(len(given))
        """,
        tmp_path,
    )
    assert said == ["0", "1", "2"]
