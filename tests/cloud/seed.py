"""A believable fleet, for tests and pictures: 300 devices, 3 models, rollouts in every state, alerts, runs, figures."""

import hashlib
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from cloud import alerts
from cloud.api.access import Tokens
from cloud.audit import Audit
from cloud.database import Database, tables
from cloud.repository import Published
from cloud.rollouts.spec import Spec
from edge_runtime.errors import InputError

HOUR = 3600.0
PLACES = {  # site: latitude, longitude, how many devices
    "hamburg-port": (53.54, 9.97, 42),
    "lyon-line-2": (45.76, 4.84, 26),
    "porto-quay": (41.15, -8.63, 18),
    "oslo-depot": (59.91, 10.75, 14),
    "shenzhen-fab": (22.54, 114.06, 48),
    "singapore-hub": (1.29, 103.85, 30),
    "nagoya-plant": (35.18, 136.91, 24),
    "pune-lab": (18.52, 73.86, 16),
    "sao-paulo": (-23.55, -46.63, 22),
    "houston-yard": (29.76, -95.37, 24),
    "toronto-store": (43.65, -79.38, 20),
    "cape-town": (-33.92, 18.42, 16),
}
TARGETS = ("rpi4", "rpi4", "rpi4", "rpi5", "rpi-zero2", "rk3588-npu", "x86-64", "android-arm64")
ROOMS = ("gate", "hall", "line", "dock", "office")
# model: versions with (accuracy, p95 in ms on rpi4, float megabytes)
MODELS = {
    "keywords": ((0.941, 6.1, 2.9), (0.948, 4.4, 1.1), (0.956, 4.1, 1.1)),
    "shelf-vision": ((0.902, 38.0, 10.8), (0.897, 21.5, 3.1), (0.913, 20.8, 3.1), (0.918, 20.2, 3.1)),
    "pump-sound": ((0.972, 9.3, 4.2), (0.969, 5.0, 1.4)),
}
SPEED = {"rpi4": 1.0, "rpi5": 0.45, "rpi-zero2": 2.6, "rk3588-npu": 0.3, "x86-64": 0.2, "android-arm64": 0.5}
TOKENS = {"ada": "admin", "otto": "operator", "vera": "viewer"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Shelf:
    """A repository in memory: as much of `cloud.repository.Repository` as the API asks for."""

    def __init__(self, now: float, bundle: bytes = b"") -> None:
        self.found = list(_published(now))
        self.bundle = bundle

    def releases(self, name: str | None = None) -> list[Published]:
        return [each for each in self.found if name in (None, each.name)]

    def read(self, path: str, start: int | None = None, stop: int | None = None) -> bytes:
        return self.bundle[start:stop]

    def publish(
        self, bundle: Any, name: Any = None, version: Any = None, target: Any = None, **_: Any
    ) -> Published:
        content = Path(bundle).read_bytes()
        path = f"{name}/{version}/{target}.bundle"
        custom = {"metrics": {}, "deltas": {}}
        made = Published(name, version, target, path, digest(path), len(content), custom, 0)
        self.found.append(made)
        return made

    def withdraw(self, name: str, version: int, target: str | None = None) -> list[Published]:
        gone = [each for each in self.found if (each.name, each.version) == (name, version)]
        if not gone:
            raise InputError(f"{name} has no version {version} to withdraw; there are none")
        self.found = [each for each in self.found if each not in gone]
        return gone


def _published(now: float) -> Iterator[Published]:
    for name, versions in MODELS.items():
        for version, (accuracy, p95, size) in enumerate(versions, 1):
            for target in sorted(set(TARGETS)):
                path = f"{name}/{version}/{target}.bundle"
                length = int(size * 1e6 * (1 + 0.03 * len(target)))
                before = {1: (), 2: (1,), 3: (2, 1), 4: (3, 2)}[version]
                deltas = {
                    digest(f"{name}/{old}/{target}.bundle"): {
                        "sha256": digest(f"{path}<{old}"),
                        "length": int(length * (0.062 if old == version - 1 else 0.21)),
                    }
                    for old in before
                }
                fall = {"rk3588-npu": 0.006, "rpi-zero2": 0.004}.get(target, 0.0)
                metrics = {
                    "accuracy_ppm": round((accuracy - fall) * 1e6),
                    "agreement_ppm": round((0.991 - fall) * 1e6),
                    "latency_us": round(p95 * SPEED[target] * 1000),
                }
                custom = {"metrics": metrics, "deltas": deltas}
                at = int(now - (len(versions) - version) * 19 * 24 * HOUR - 3 * HOUR)
                yield Published(name, version, target, path, digest(path), length, custom, at)


def release(name: str, version: int, target: str) -> dict[str, Any]:
    path = f"{name}/{version}/{target}.bundle"
    return {"name": name, "version": version, "path": path, "sha256": digest(path), "bytes": 1_100_000}


def fill(database: Database, now: float, seed: int = 7) -> dict[str, str]:
    """Put everything into a migrated, empty database; the tokens, by role."""
    random_ = random.Random(seed)
    given = {}
    with database.begin() as connection:
        for name, role in TOKENS.items():
            given[role] = Tokens(database, lambda: now).create(connection, name, role)
    devices = list(_devices(now, random_))
    with database.begin() as connection:
        connection.execute(insert(tables.devices), [device for device, _, _ in devices])
        connection.execute(insert(tables.twins), [twin for _, twin, _ in devices])
        connection.execute(insert(tables.stats), list(_stats(now, devices, random_)))
        connection.execute(insert(tables.rollouts), [each for each, _ in _rollouts(now)])
        connection.execute(insert(tables.rollout_devices), list(_told(now, devices)))
        connection.execute(
            insert(tables.groups),
            [
                {"name": "canaries", "selector": "ring=canary", "created": now - 80 * HOUR},
                {"name": "ports", "selector": "site=*-port", "created": now - 60 * HOUR},
            ],
        )
        connection.execute(insert(tables.runs), list(_runs(now)))
        connection.execute(insert(tables.commands), list(_commands(now)))
        connection.execute(
            insert(tables.enrolments),
            [
                {
                    "device": f"hamburg-port-{50 + i:02}",
                    "site": "hamburg-port",
                    "labels": {"room": "dock"},
                    "hosts": [],
                    "digest": digest(f"enrolment {i}"),
                    "created": now - (i + 1) * HOUR,
                    "expires": now + (23 - i) * HOUR,
                    "used": now - HOUR / 2 if i == 0 else None,
                }
                for i in range(3)
            ],
        )
        _alerts(connection, now)
    _audit(database, now)
    return given


def _devices(now: float, random_: random.Random) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    model_of = {0: "keywords", 1: "shelf-vision", 2: "pump-sound"}
    for index, (site, (latitude, longitude, count)) in enumerate(PLACES.items()):
        name_of = model_of[index % 3]
        newest = len(MODELS[name_of])
        for i in range(count):
            target = random_.choice(TARGETS)
            name = f"{site}-{i:02}"
            online = random_.random() > 0.06
            state, version, error, progress = "running", newest - 1, "", 1_000_000
            rollout, phase, desired, v = "", 0, newest - 1, 4
            if name_of == "keywords":  # its rollout is in phase 3: half of them have it
                if i % 8 < 5:
                    rollout, desired, v, phase = "keywords-3", 3, 5, min(2, i % 8)
                    state, version = _under_way(random_, i)
                    progress = random_.randrange(100_000, 990_000) if state == "fetching" else 1_000_000
            elif name_of == "shelf-vision":
                desired = version = 3
                rollout, v, phase = "shelf-vision-3", 6, i % 4
            else:
                desired = version = 2
                rollout, v = "pump-sound-2", 5
            if state == "reverted":
                error = "the probe's 95th percentile is 1.9 times the old model's; at most 1.5 times may be"
            answered = (
                v
                if state in ("running", "reverted", "failed", "probation") and rollout
                else v - bool(rollout)
            )
            if not rollout:
                answered = v
            seen = now - random_.random() * 55 if online else now - random_.expovariate(1 / (9 * HOUR)) - 400
            beat = {
                "time": int(seen),
                "up_s": random_.randrange(9_000, 4_000_000),
                "free_mb": random_.randrange(800, 26_000),
                "power": random_.choice(("mains", "mains", "mains", "battery", "charging")),
                "idle": random_.random() > 0.3,
                "metered": random_.random() > 0.9,
                "temperature_c": round(random_.gauss(52, 6), 1),
            }
            labels = {"room": ROOMS[i % len(ROOMS)], "line": str(1 + i // 8)}
            labels |= {"ring": "canary"} if i % 16 == 0 else {}
            device = {
                "name": name,
                "site": site,
                "target": target,
                "labels": labels,
                "status": "enrolled",
                "certificate": digest(name),
                "expires": now + random_.randrange(20, 340) * 24 * HOUR,
                "enrolled": now - random_.randrange(40, 200) * 24 * HOUR,
                "seen": seen,
                "online": online,
                "beat": beat,
                "latitude": latitude + random_.gauss(0, 0.02),
                "longitude": longitude + random_.gauss(0, 0.02),
            }
            yield (
                device,
                _twin(
                    now,
                    name,
                    name_of,
                    target,
                    v,
                    answered,
                    desired,
                    version,
                    state,
                    error,
                    progress,
                    rollout,
                    phase,
                ),
                name_of,
            )


def _under_way(random_: random.Random, i: int) -> tuple[str, int]:
    """State and version of a device that the running rollout has told."""
    if i % 8 < 2 or random_.random() < 0.55:
        return ("reverted", 2) if random_.random() < 0.05 else ("running", 3)
    state = random_.choice(("fetching", "shadow", "probation", "waiting", "fetching"))
    return state, 3 if state == "probation" else 2


def _twin(
    now: float,
    name: str,
    model: str,
    target: str,
    v: int,
    answered: int,
    desired: int,
    version: int,
    state: str,
    error: str,
    progress: int,
    rollout: str,
    phase: int,
) -> dict[str, Any]:
    running, wanted = release(model, version, target), release(model, desired, target)
    shadow = None
    if rollout == "keywords-3" and state in ("running", "probation", "shadow", "reverted"):
        shadow = {
            "n": 200,
            "agree_ppm": 963_000,
            "labelled": 40,
            "correct": 38,
            "old_correct": 37,
            "p95_us": 4100,
            "old_p95_us": 4400,
        }
    return {
        "device": name,
        "desired_v": v,
        "desired_at": now - 0.6 * HOUR,
        "sent_at": now - 0.6 * HOUR,
        "desired": {
            "v": v,
            "model": wanted,
            "rollout": rollout,
            "phase": phase,
            "jitter_s": 60,
            "max_kbps": 0,
            "shadow": {
                "samples": 200,
                "seconds": 600,
                "min_agree_ppm": 900_000,
                "max_drop_ppm": 20_000,
                "max_slower_ppm": 1_500_000,
            },
            "probation_s": 60,
            "probes": 3,
        },
        "reported": {
            "v": answered,
            "state": state,
            "model": running["sha256"],
            "slot": "ab"[v % 2],
            "error": error,
            "previous": release(model, max(1, version - 1), target)["sha256"],
            "progress_ppm": progress,
            "fetched_bytes": 71_400,
            "target": target,
            "agent": "0.1.0",
            "shadow": shadow,
            "capabilities": {"cores": 4, "memory_mb": 3794, "engines": ["onnxruntime", "litert"]},
        },
        "reported_v": answered,
        "reported_at": now - 0.2 * HOUR,
        "state": state,
        "model": running["sha256"],
        "rollout": rollout,
        "phase": phase,
    }


def _stats(now: float, devices: list[Any], random_: random.Random) -> Iterator[dict[str, Any]]:
    for device, twin, model in devices:
        step = 0.5 * HOUR if device["name"].endswith("-00") else 3 * HOUR
        version = len(MODELS[model]) - 1
        accuracy, p95, _ = MODELS[model][version]
        at = now - 24 * HOUR + random_.random() * step
        while at < now:
            day = 0.6 + 0.4 * math.sin((at % (24 * HOUR)) / (24 * HOUR) * 2 * math.pi)
            n = max(5, int(random_.gauss(420, 60) * day * step / HOUR))
            tail = p95 * SPEED[device["target"]] * 1000 * random_.gauss(1, 0.05)
            labelled = n // 20
            hot = device["site"] == "singapore-hub" and now - at < 5 * HOUR
            yield {
                "device": device["name"],
                "model": twin["model"],
                "at": at,
                "stats": {
                    "model": twin["model"],
                    "begin": int(at - step),
                    "end": int(at),
                    "n": n,
                    "errors": int(random_.random() < 0.05),
                    "p50_us": int(tail * 0.7),
                    "p95_us": int(tail),
                    "p99_us": int(tail * 1.3),
                    "labelled": labelled,
                    "correct": min(labelled, round(labelled * random_.gauss(accuracy, 0.01))),
                    "drift_ppm": int(abs(random_.gauss(310_000 if hot else 42_000, 12_000))),
                },
            }
            at += step


def _rollouts(now: float) -> Iterator[tuple[dict[str, Any], str]]:
    rows = (
        (
            "keywords-3",
            "keywords",
            3,
            "running",
            2,
            2.4,
            None,
            "phase 3 of 4 (50 %): 31 of 45 devices have ended",
        ),
        (
            "shelf-vision-4",
            "shelf-vision",
            4,
            "rolled-back",
            0,
            30,
            29.2,
            "taken back: on rk3588-npu accuracy falls by 6.1% over 240 labelled inputs; at most 2.0% may",
        ),
        ("shelf-vision-3", "shelf-vision", 3, "finished", 3, 460, 452, "the rollout is finished"),
        (
            "pump-sound-2",
            "pump-sound",
            2,
            "paused",
            1,
            20,
            None,
            "paused by otto: the plant takes stock until Monday",
        ),
        ("pump-sound-1b", "pump-sound", 1, "aborted", 1, 700, 699, "aborted by ada: published by mistake"),
        ("keywords-3-night", "keywords", 3, "draft", 0, 1, None, ""),
    )
    for name, model, version, state, phase, began, ended, reason in rows:
        spec = Spec.read(
            {
                "name": name,
                "release": model,
                "version": version,
                "phases": ["1 %", "10 %", "50 %", "100 %"],
                "gates": {"min_success": 0.9, "max_failed": 6},
            }
        )
        yield (
            {
                "name": name,
                "spec": spec.to_json(),
                "state": state,
                "phase": phase,
                "phase_began": now - 0.7 * HOUR,
                "reason": reason,
                "created": now - began * HOUR,
                "ended": None if ended is None else now - ended * HOUR,
            },
            model,
        )


def _told(now: float, devices: list[Any]) -> Iterator[dict[str, Any]]:
    for device, twin, _ in devices:
        if twin["rollout"]:
            before = dict(twin["desired"]) | {"v": twin["desired_v"] - 1, "rollout": "", "phase": 0}
            if twin["rollout"] == "keywords-3":
                before["model"] = release("keywords", 2, device["target"])
            yield {
                "rollout": twin["rollout"],
                "device": device["name"],
                "phase": twin["phase"],
                "desired_v": twin["desired_v"],
                "before": before,
                "told": now - (2.2 - 0.7 * twin["phase"]) * HOUR,
            }


def _runs(now: float) -> Iterator[dict[str, Any]]:
    for name, model, state, rounds, ago, top in (
        ("keywords-accents", "keywords", "running", 14, 3, 0.951),
        ("pump-sound-winter", "pump-sound", "finished", 30, 90, 0.978),
        ("shelf-vision-try", "shelf-vision", "failed", 4, 200, 0.884),
    ):
        random_ = random.Random(name)
        entries = []
        for number in range(1, rounds + 1):
            share = 1 - math.exp(-number / 7)
            entries.append(
                {
                    "number": number,
                    "accuracy": round(0.71 + (top - 0.71) * share + random_.gauss(0, 0.004), 4),
                    "loss": round(1.1 * math.exp(-number / 9) + 0.12, 4),
                    "train_loss": round(math.exp(-number / 8), 4),
                    "clients": list(range(40)),
                    "failed": {str(k): "timed out" for k in range(random_.randrange(5))},
                    "seconds": round(random_.gauss(21, 3), 2),
                    "bytes_down": 1_140_000 * 40,
                    "bytes_up": 9_300 * 40,
                    "set_aside": {"7": "its norm is 14 times the median"} if number % 9 == 4 else {},
                    "epsilon": round(0.21 * number, 2),
                    "losses": {},
                    "late": [],
                    "wire_down": None,
                    "wire_up": None,
                }
            )
        history = {
            "schema": 1,
            "settings": {
                "strategy": "fedavg",
                "clients": 120,
                "rounds": 30,
                "codec": "qsgd",
                "privacy": "local",
            },
            "inputs": {},
            "held_out": 2000,
            "clients": [],
            "initial": {"accuracy": 0.71, "loss": 1.31},
            "rounds": entries,
        }
        report = b"<!doctype html><html lang=en><title>Federated run</title><style>h1{color:teal}</style><h1>Run</h1>"
        yield {
            "name": name,
            "model": f"{model} {len(MODELS[model])}",
            "state": state,
            "created": now - ago * HOUR,
            "history": history,
            "report": report if state == "finished" else None,
        }


def _commands(now: float) -> Iterator[dict[str, Any]]:
    for i, (op, status, text) in enumerate(
        (
            ("probe", "done", "3 of 3 vectors as expected; 95th percentile 4.1 ms"),
            (
                "logs",
                "done",
                "12:01:07 fetching keywords/3/rpi4.bundle by patch, 71 kB\n12:01:21 shadow: 200 inputs, 96.3 % alike\n"
                "12:01:22 switched to slot b\n12:02:22 probation over, running",
            ),
            ("report", "pending", ""),
            ("restart", "expired", ""),
        )
    ):
        made = now - (i * 7 + 0.5) * HOUR
        yield {
            "id": f"c{i:023}",
            "device": "hamburg-port-00",
            "created": made,
            "expires": made + HOUR,
            "status": status,
            "command": {"id": f"c{i:023}", "op": op, "expires": int(made + HOUR)},
            "text": text,
            "sent_at": made,
            "ended": None if status == "pending" else made + 2,
        }


def _alerts(connection: Any, now: float) -> None:
    for ago, severity, subject, text in (
        (
            29.2,
            "critical",
            "rollout/shelf-vision-4",
            "taken back: on rk3588-npu accuracy falls by 6.1% over 240 labelled inputs; at most 2.0% may",
        ),
        (
            4.6,
            "warning",
            "model/shelf-vision",
            "the drift at singapore-hub is 0.31; the model was calibrated on other light",
        ),
        (0.9, "warning", "site/pune-lab", "2 of 16 devices have been away for more than an hour"),
        (
            0.3,
            "info",
            "device/oslo-depot-03",
            "its certificate expires in 20 days; it has not asked for a new one",
        ),
    ):
        alerts.raise_(connection, severity, subject, text, at=now - ago * HOUR)
    alerts.raise_(connection, "warning", "broker/2", "the shard was restarted", at=now - 70 * HOUR)
    alerts.end(connection, "broker/2", at=now - 69.9 * HOUR)


def _audit(database: Database, now: float) -> None:
    log = Audit(database)
    with database.begin() as connection:
        for ago, actor, action, subject, detail in (
            (90, "ada", "token.create", "otto", {"role": "operator"}),
            (80, "ada", "group", "canaries", {"selector": "ring=canary"}),
            (70, "cloud", "broker.restart", "broker/2", {}),
            (30, "otto", "rollout.start", "shelf-vision-4", {}),
            (
                29.2,
                "cloud",
                "rollout.rolled-back",
                "shelf-vision-4",
                {"reason": "accuracy falls by 6.1 % on rk3588-npu"},
            ),
            (20, "otto", "rollout.start", "pump-sound-2", {}),
            (18, "otto", "rollout.pause", "pump-sound-2", {"reason": "the plant takes stock until Monday"}),
            (7.5, "nobody", "enrolment.refused", "203.0.113.9", {"reason": "the token was used already"}),
            (3, "ada", "enrolment.create", "hamburg-port-50", {"site": "hamburg-port"}),
            (2.4, "otto", "rollout.start", "keywords-3", {"release": "keywords", "version": 3}),
            (1.1, "otto", "command", "hamburg-port-00", {"op": "probe"}),
            (0.5, "otto", "label", "hamburg-port-00", {"room": "gate"}),
        ):
            log.add(connection, actor, action, subject, detail, at=now - ago * HOUR)
