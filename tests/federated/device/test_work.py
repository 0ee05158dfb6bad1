import numpy as np
import pytest

from edge_runtime.data import Samples
from edge_runtime.trainer import Trainer
from federated.codecs import parse
from federated.codecs.downlink import Published, publish
from federated.device import work
from federated.device.store import Store
from federated.device.work import Memory
from federated.link import wire
from federated.link.wire import Message, Record
from federated.local import client_update
from federated.steps import Steps

CONFIG = {"server-round": 1, "epochs": 1, "batch-size": 32, "lr": 0.05, "seed": 0}


@pytest.fixture
def trainer(linear):
    return Trainer(linear, threads=1)


@pytest.fixture
def mine(digits):
    return Samples(digits.x[:100], digits.y[:100])


def request(kind="train", client=3, **records):
    return Message({"kind": kind, "client": client}, records)


def arrays(table):
    return Record("arrays", table)


def config(**more):
    return Record("config", {**CONFIG, **more})


def test_training_is_client_update(trainer, mine):
    weights = trainer.parameters
    asked = request(arrays=arrays(weights), config=config())
    reply = work.answer(asked, "id", Memory(), trainer, mine)
    wanted = client_update(trainer, weights, mine, Steps(1, 1, 32, 0.05, 0), 3)
    assert reply.head == {"work": "id"}
    assert reply.records["metrics"].items == {"num-examples": 100, "loss": wanted.loss}
    for name, array in wanted.parameters.items():
        np.testing.assert_array_equal(reply.records["arrays"].items[name], array)


def test_evaluation(trainer, mine):
    reply = work.answer(request("evaluate", arrays=arrays(trainer.parameters)), "id", Memory(), trainer, mine)
    assert reply.records["metrics"].items["num-examples"] == 100
    assert 0 <= reply.records["metrics"].items["accuracy"] <= 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (request("dance"), "does not do"),
        (request(), "cannot be read"),
        (request(config=config()), "cannot be read"),
        (request(config=config(), arrays=arrays({"w": np.zeros(3)})), "parameter"),
        (request(config=config(lr="much"), arrays=arrays({})), "cannot be read"),
        (
            request(config=config(), way=Record("config", {"held": 4, "messages": [], "down": "half"})),
            "sent whole",
        ),
        (request(config=config(), arrays=Record("config", {"w": 1})), "error"),
        (Message({"kind": "train", "client": "x"}), "cannot be read"),
    ],
)
def test_what_goes_wrong_is_a_reply(trainer, mine, asked, says):
    reply = work.answer(asked, "id", Memory(), trainer, mine)
    assert reply.records == {}
    assert says in reply.head["error"] or says == "error"
    assert "\n" not in reply.head["error"]


def test_codecs_and_the_models_changes(trainer, mine):
    """A device that holds a model gets its changes alone, and answers with an update."""
    memory, weights = Memory(), trainer.parameters
    way = {"up": "topk:fraction=0.1", "down": "qsgd:bucket=64", "seed": 0, "number": 0}
    first = request(arrays=arrays(weights), config=config(), way=Record("config", way))
    reply = work.answer(first, "a", memory, trainer, mine)
    if "error" in reply.head:
        pytest.fail(reply.head["error"])
    assert len(reply.records["update"].items["message"]) < sum(a.nbytes for a in weights.values()) / 2
    after = {name: array + np.float32(0.01) for name, array in weights.items()}
    message, published = publish(parse(way["down"]), weights, after, 0, 1)
    assert Published(0, 1 << 30).add(message)
    way |= {"number": 1, "held": 0, "messages": [message]}
    second = request(config=config(**{"server-round": 2}), way=Record("config", way))
    reply = work.answer(wire.decode(wire.encode(second)), "b", memory, trainer, mine)
    assert "error" not in reply.head
    assert memory.number == 1
    for name, array in published.items():
        np.testing.assert_array_equal(memory.held[name], array)


def test_the_store_remembers_and_forgets_together(tmp_path, linear):
    store = Store(tmp_path / "s")
    store.memory.codec["residual:w"] = np.arange(3.0)
    store.memory.held, store.memory.number = {"w": np.ones(2, np.float32)}, 4
    store.keep("0" * 32, b"request")
    assert Store(tmp_path / "s").pending() == {bytes(16): b"request"}
    for i in range(4):
        store.commit(f"{i:032x}", b"reply %d" % i)
    again = Store(tmp_path / "s")
    assert again.pending() == {}
    assert again.answered() == [bytes(15) + b"\3"]
    assert again.reply(f"{3:032x}") == b"reply 3"
    assert again.reply("0" * 32) is None
    assert again.memory.number == 4
    np.testing.assert_array_equal(again.memory.codec["residual:w"], [0, 1, 2])


def test_a_round_that_is_asked_for_in_other_words_counts_once(trainer, mine):
    """Error feedback adds up what was not sent; a coordinator that began anew asks for the round differently."""
    weights = trainer.parameters

    def asked(number, **more):
        way = Record("config", {"up": "feedback(topk:fraction=0.01)", "down": "", "seed": 0, **more})
        return request(arrays=arrays(weights), config=config(**{"server-round": number}), way=way)

    def remembered(memory):
        return {name: array.tobytes() for name, array in memory.codec.items()}

    once, twice = Memory(), Memory()
    for memory, numbers in ((once, [1, 2]), (twice, [1, 2, 2])):
        for i, number in enumerate(numbers):
            reply = work.answer(asked(number, again=i), f"{i}", memory, trainer, mine)
            assert "error" not in reply.head, reply.head
    assert remembered(once) == remembered(twice) != {}
    other = Message({"kind": "train", "run": "another", "client": 3}, asked(1).records)
    work.answer(other, "x", twice, trainer, mine)
    assert remembered(twice) != remembered(once)
    assert twice.run == "another"


def test_a_damaged_store_is_left_behind(tmp_path, capsys):
    store = Store(tmp_path)
    store.commit("0" * 64, b"reply")
    path = tmp_path / "state"
    path.write_bytes(path.read_bytes()[:-3])
    assert Store(tmp_path).answered() == []
    assert "is damaged" in capsys.readouterr().err


def test_only_clean_code_is_given_back():
    from federated.device.memory import clean_code, settle

    entry = "{} {} 0 08:01 {}  {}\nSize: 8 kB\nAnonymous: {} kB\nVmFlags: rd\n"
    maps = "".join(
        entry.format(*each)
        for each in [
            ("1000-2000", "r-xp", 7, "/lib/a.so.1", 0),
            ("2000-3000", "r--p", 7, "/lib/a.so.1", 4),  # relocated
            ("3000-4000", "rw-p", 7, "/lib/a.so.1", 0),
            ("4000-5000", "r-xp", 0, "", 0),
            ("5000-6000", "r--p", 8, "/lib/b.so", 0),
            ("6000-7000", "r--p", 9, "/data/c.bin", 0),
        ]
    )
    assert clean_code(maps) == [(0x1000, 0x2000), (0x5000, 0x6000)]
    settle()
    assert np.linalg.norm(np.ones(4)) == 2
