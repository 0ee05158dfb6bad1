"""Latency is measured in turn; marks appear only where an emulator asks."""

from edge_runtime import Session, profile, tensors
from tests.models import LINEAR, build


def test_calls_are_interleaved():
    order = []
    found = profile.interleaved([lambda: order.append("a"), lambda: order.append("b")], rounds=3, warmup=1)
    assert order == ["a", "b"] * 4
    assert [latency.n for latency in found] == [3, 3]
    assert all(0 <= latency.median_ms <= latency.p90_ms for latency in found)


def test_marks_run_nothing_unless_asked(monkeypatch):
    class Refusing(Session):
        def run(self, inputs):
            raise AssertionError(inputs)

    monkeypatch.delenv(profile.MARKS_VARIABLE, raising=False)
    profile.mark_inferences(Refusing(build(LINEAR).SerializeToString()))


def test_example_fits_the_signature():
    session = Session(build(LINEAR).SerializeToString())
    assert session.run(tensors.example(session.inputs))["y"].shape == (1, 3)
