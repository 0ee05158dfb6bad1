"""The peers of a benchmark: what they compute is what onnxruntime computes, and what fails says why."""

import importlib

import numpy as np
import pytest

from benchmarks.peers import environment
from benchmarks.peers.environment import InstallError, interpreter
from benchmarks.peers.peer import PEERS, Peer, PeerError, check, race
from converter.model import save, to_bytes
from edge_runtime import Session
from tests.models import cnn, images

X = images(5)
TOLERANCE = 1e-4


@pytest.fixture
def model(tmp_path):
    made = cnn()
    for value in [*made.graph.input, *made.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return save(made, tmp_path / "model.onnx")


def expected():
    return Session(to_bytes(cnn())).run_batches(X)[0]


def test_a_peer_is_asked_in_its_own_process(model):
    with Peer("onnxruntime", "fp32", model, X, X) as peer:
        np.testing.assert_allclose(peer.outputs(), expected(), atol=1e-5)
        assert set(peer.run(2)) == {"wall_ms", "cpu_ms"}
        assert peer.version.startswith("onnxruntime ")
    with pytest.raises(PeerError, match="ended"):
        peer.run(1)


def test_peers_take_turns(model):
    with Peer("onnxruntime", "fp32", model, X, X) as one, Peer("littoral", "onnx", model, X, X) as other:
        assert all(spent >= 0 for spent in race([one, other], rounds=3, least_ms=0.1))
        assert len(one.cpu_ms) == len(other.cpu_ms) == 3
        np.testing.assert_allclose(other.outputs(), one.outputs(), atol=1e-5)


def test_a_model_that_a_peer_refuses_is_a_sentence(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(PeerError, match=r"does not take the model: .*broken"):
        Peer("onnxruntime", "fp32", broken, X, X)


def test_wrong_outputs_are_told_from_rounding():
    reference = expected()
    assert check(reference + 1e-6, reference, 1e-3) < 1e-5
    for wrong in (reference[:, ::-1] + 1, reference * np.nan, reference[:, :2]):
        with pytest.raises(PeerError, match="wrong outputs"):
            check(wrong, reference, 1e-3)


def test_an_environment_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path))
    commands = []

    def installer(command):
        commands.append(command)
        if fails and "install" in command:
            raise InstallError("no such package")
        if "venv" in command:
            (environment.Path(command[-1]) / "bin").mkdir(parents=True)

    monkeypatch.setattr(environment, "_call", installer)
    fails = True
    with pytest.raises(InstallError, match="no such package"):
        interpreter("some", ["a==1"])
    assert not (tmp_path / "peers" / "some").exists()
    fails = False
    for packages, calls in ((["a==1"], 2), (["a==1"], 0), (["a==2"], 2)):  # made, kept, made again
        commands.clear()
        assert interpreter("some", packages) == tmp_path / "peers/some/bin/python"
        assert len(commands) == calls


def test_every_package_of_a_peer_is_pinned():
    for name in PEERS:
        module = importlib.import_module(f"benchmarks.peers.{name}")
        assert "fp32" in module.FORMS
        assert all(pin.count("==") == 1 for pin in module.PACKAGES)


@pytest.mark.slow
@pytest.mark.parametrize("engine", PEERS)
def test_a_peer_computes_what_onnxruntime_computes(engine, model):
    """Installs the peer on first use, which needs the package registry."""
    try:
        with Peer(engine, "fp32", model, X, X) as peer:
            found = peer.outputs()
    except PeerError as error:
        if "cannot be installed" not in str(error):
            raise
        pytest.skip(f"{engine}: {error}")
    assert check(found, expected().reshape(len(X), -1), TOLERANCE) <= TOLERANCE
