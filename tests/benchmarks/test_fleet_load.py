"""What a simulated device says is what the contract reads, and its packets are MQTT's."""

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fleet_load import wire
from benchmarks.fleet_load.devices import Devices, Settings
from edge_runtime.messages import Beat, Reported
from edge_runtime.messages.telemetry import unbatch
from federated.link import packets


class Said:
    """Stands in for the connections: keeps what would be sent."""

    def __init__(self):
        self.sent = []

    def send(self, number, data):
        self.sent += [(number, wire.read_publish(head, body)[:2]) for head, body, _ in wire.packets(data)]
        return True


def devices(**more):
    made = Devices(
        Settings(host="127.0.0.1", port=1, first=0, count=4, fetch_s=(0, 0), switch_s=(0, 0), **more)
    )
    made.links = Said()
    return made


def wish(v, sha):
    return {"v": v, "model": {"sha256": sha}}


def test_a_device_goes_through_its_states_once():
    fleet = devices()
    fleet._desired(2, wish(1, "ab" * 32))
    fleet._ripe(float("inf"))
    fleet._desired(2, wish(1, "ab" * 32))
    reports = [Reported.read(body) for _, (_, body) in fleet.links.sent]
    assert [report.state for report in reports] == ["fetching", "probation", "running", "running"]
    assert fleet.count["effects"] == 1
    assert fleet.count["repeats"] == 1


def test_a_bad_model_is_left_for_the_one_before():
    fleet = devices()
    fleet._desired(0, wish(1, "ab" * 32))
    fleet._ripe(float("inf"))
    fleet.obey({"do": "bad", "model": "cd" * 32, "share": 1.0})
    fleet._desired(0, wish(2, "cd" * 32))
    fleet._ripe(float("inf"))
    last = Reported.read(fleet.links.sent[-1][1][1])
    assert (last.state, last.model, last.v) == ("reverted", "ab" * 32, 2)
    fleet._desired(0, wish(1, "ef" * 32))
    assert fleet.count["older"] == 1


def test_beats_of_a_site_come_in_one_batch():
    fleet = devices(per_site=2, beat_s=1.0)
    fleet._beat(fleet._began + 1.0)
    fleet._flush(float("inf"))
    assert [number for number, _ in fleet.links.sent] == [0, 1]
    said = [line for _, (_, body) in fleet.links.sent for line in unbatch(body)]
    assert sorted(device for device, _, _ in said) == fleet.names
    assert all(Beat.read(body).up_s == 1 for _, kind, body in said if kind == "beat")


@given(st.binary(max_size=400), st.binary(min_size=1, max_size=300), st.integers(0, 1), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_packets_are_those_of_the_standard(body, topic, qos, cut):
    made = wire.publish(topic, body, qos)
    [(kind, flags, content)] = packets.Reader(1 << 20).feed(made)
    assert (kind, flags) == (3, qos << 1)
    [(head, same, end)] = wire.packets(made)
    assert same == content
    assert end == len(made)
    assert wire.read_publish(head, same)[:2] == (topic, body)
    assert [end for _, _, end in wire.packets(made + made[: min(cut, len(made) - 1)])] == [len(made)]


def test_connect_names_the_device_as_user_with_a_last_will():
    [(_, body, _)] = wire.packets(wire.connect(b"pi-1", b"littoral/v1/d/pi-1/up/state", 240))
    said = packets.read_connect(body)
    assert said is not None
    assert (said.client_id, said.user, said.keep_alive_s) == ("pi-1", "pi-1", 240)
    assert said.will is not None
    assert (said.will.topic, said.will.payload, said.will.qos) == ("littoral/v1/d/pi-1/up/state", b"gone", 1)
