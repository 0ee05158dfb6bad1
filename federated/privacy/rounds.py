"""A round under secure aggregation, as requests and answers that any transport carries.

A request is a dictionary of numbers, bytes and lists of numbers (`Request`), an answer is bytes. `Devices` is the
device's side: it keeps its sessions from one request to the next, and forgets them afterwards. `Aggregation` is the
server's side for all groups of a round.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import randbits
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import FleetError
from federated.privacy import masked
from federated.privacy.masked import Coding, Sum
from federated.privacy.secagg import Device, Group, Server, threshold
from federated.robust.submission import Vector

if TYPE_CHECKING:
    from federated.privacy.he import DeviceKey

Request = dict[str, Any]
ADVERTISE, SHARE, MASK, UNMASK = 1, 2, 3, 4
ENCRYPT, OPEN = 5, 6  # of homomorphic encryption
_KEPT = 4  # sessions that a device keeps: of a round that was abandoned, nothing stays for long


@dataclass(slots=True)
class Devices:
    """The sessions of one device, or of several that live in one process."""

    encryption: "DeviceKey | None" = None
    _sessions: dict[tuple[int, bytes], tuple[Device, Coding]] = field(default_factory=dict)
    _opened: dict[int, int] = field(default_factory=dict)  # by device: the last round whose sum it opened

    def answer(self, request: Request, device: int) -> bytes:
        """The answer to a request of a stage without training.

        Raises:
            FleetError: it comes out of turn, or is not one.
        """
        stage = int(request["stage"])
        if stage == OPEN:
            return self._open(request, device)
        session = bytes(request["session"])
        if stage == ADVERTISE:
            coding = _coding(request)
            members = tuple(map(int, request["members"]))
            group = Group(session, members, int(request["threshold"]), coding.count, coding.bits)
            mine = [key for key in self._sessions if key[0] == device]
            for old in mine[: max(0, len(mine) - _KEPT + 1)]:
                del self._sessions[old]
            self._sessions[device, session] = Device(device, group), coding
            return self._sessions[device, session][0].advertise()
        if stage == SHARE:
            return self._session(request, device)[0].share(bytes(request["text"]))
        if stage == UNMASK:
            found = self._session(request, device)[0].unmask(bytes(request["text"]))
            del self._sessions[device, session]
            return found
        raise FleetError(f"secure aggregation: there is no stage {stage}")

    def _open(self, request: Request, device: int) -> bytes:
        """The sum of a round, decrypted: one a round, for more would tell single updates."""
        from federated.privacy import he  # TenSEAL is for those who encrypt

        number = int(request["round"])
        if number <= self._opened.get(device, 0):
            raise FleetError(f"homomorphic encryption: this device has opened the sum of round {number}")
        total = self._key().decrypt(he.unpack(bytes(request["text"])), int(request["size"]) + 2)
        self._opened[device] = number
        return total.astype("<f8").tobytes()

    def _key(self) -> "DeviceKey":
        if self.encryption is None:
            raise FleetError("homomorphic encryption: this device has no key; give it --encryption-key")
        return self.encryption

    def mask(self, request: Request, device: int, delta: Vector, num_examples: int, loss: float) -> bytes:
        """The answer to a request with training: the device's change float64[d], coded and masked, or encrypted.

        Raises:
            FleetError: it comes out of turn, or the change has another size.
        """
        if int(request["stage"]) == ENCRYPT:
            from federated.privacy import he

            return he.seal(self._key(), delta, num_examples, loss)
        state, coding = self._session(request, device)
        if delta.size != coding.size:
            raise FleetError(
                f"secure aggregation: a change of {coding.size} numbers is expected, got {delta.size}"
            )
        rng = np.random.Generator(np.random.Philox(randbits(128)))
        return state.mask(bytes(request["text"]), masked.encode(coding, delta, num_examples, loss, rng))

    def _session(self, request: Request, device: int) -> tuple[Device, Coding]:
        found = self._sessions.get((device, bytes(request["session"])))
        if found is None:
            raise FleetError(
                "secure aggregation: this device is not in the session; it takes part in the next round"
            )
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """How secure rounds are held: groups of about `group` devices, and the share of elements that is sent."""

    group: int = 20
    keep: float = 1 / 16

    def groups(self, devices: Sequence[int]) -> list[tuple[int, ...]]:
        """Divide a round's devices, in order, into groups of nearly equal size.

        Raises:
            FleetError: there are less than three devices.
        """
        if len(devices) < 3:
            raise FleetError(
                f"secure aggregation: {len(devices)} devices in the round; a sum hides none of less than 3"
            )
        count = max(1, round(len(devices) / max(self.group, 3)))
        while len(devices) // count < 3:
            count -= 1
        return [
            tuple(int(each) for each in part) for part in np.array_split(np.array(sorted(devices)), count)
        ]


class Aggregation:
    """The server's side of one round: for each stage the requests, then what came back."""

    def __init__(
        self, plan: Plan, devices: Sequence[int], *, size: int, bound: float, cap: int, key: int
    ) -> None:
        """Make the groups.

        Args:
            plan: of the run.
            devices: of the round.
            size: elements of the change.
            bound: C of this round.
            cap: examples from which a device counts in full.
            key: of the round's shared random choices, 0 to 2**32 - 1.
        """
        self.failed: dict[int, str] = {}
        self._rooms: list[tuple[Group, Coding, Server]] = []
        for members in plan.groups(devices):
            coding = Coding(size, len(members), bound, cap, plan.keep, key)
            group = Group(os.urandom(16), members, threshold(len(members)), coding.count, coding.bits)
            self._rooms.append((group, coding, Server(group)))

    def advertise(self) -> dict[int, Request]:
        """The requests of stage 1, by device."""
        return {
            device: {
                "stage": ADVERTISE,
                "session": group.session,
                "members": list(group.members),
                "threshold": group.threshold,
                "size": coding.size,
                "bound": coding.bound,
                "cap": coding.cap,
                "keep": coding.keep,
                "key": coding.key,
            }
            for group, coding, _ in self._rooms
            for device in group.members
        }

    def share(self, answers: Mapping[int, bytes]) -> dict[int, Request]:
        """The requests of stage 2, from the answers to stage 1."""
        return self._next(SHARE, answers, lambda server, mine: dict.fromkeys(mine, server.roster(mine)))

    def mask(self, answers: Mapping[int, bytes]) -> dict[int, Request]:
        """The requests of stage 3, at which devices train as well."""
        return self._next(MASK, answers, lambda server, mine: server.mail(mine))

    def unmask(self, answers: Mapping[int, bytes]) -> dict[int, Request]:
        """The requests of stage 4."""
        return self._next(UNMASK, answers, lambda server, mine: dict.fromkeys(mine, server.survivors(mine)))

    def sums(self, answers: Mapping[int, bytes]) -> list[tuple[tuple[int, ...], Sum]]:
        """For each group that came through: its survivors, and their sum."""
        found = []
        for group, coding, server in self._rooms:
            try:
                total, alive = server.total(
                    {device: answers[device] for device in group.members if device in answers}
                )
            except FleetError as error:
                self._fail(group, str(error))
                continue
            found.append((alive, masked.decode(coding, total, len(alive))))
        return found

    def _next(self, stage: int, answers: Mapping[int, bytes], step: Any) -> dict[int, Request]:
        """One stage of all groups; a group that became too small fails, and the others go on."""
        requests: dict[int, Request] = {}
        going = []
        for group, coding, server in self._rooms:
            mine = {device: answers[device] for device in group.members if device in answers}
            try:
                texts = step(server, mine)
            except FleetError as error:
                self._fail(group, str(error))
                continue
            going.append((group, coding, server))
            requests |= {
                device: {"stage": stage, "session": group.session, "text": text}
                for device, text in texts.items()
            }
        self._rooms = going
        return requests

    def _fail(self, group: Group, reason: str) -> None:
        self.failed |= dict.fromkeys(group.members, reason)


def _coding(request: Request) -> Coding:
    return Coding(
        int(request["size"]),
        len(request["members"]),
        float(request["bound"]),
        int(request["cap"]),
        float(request["keep"]),
        int(request["key"]),
    )
