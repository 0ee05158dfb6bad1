"""Memory and threads that the onnxruntime sessions of a process share: one arena, with a limit, and one pool.

Each session of onnxruntime's own makes an arena for its activations and keeps the most that it ever needed. Here all of
them take from one, which a session that is not running leaves to the others.
"""

import os
import weakref
from collections.abc import Sequence
from typing import Any

from edge_runtime.errors import BackendError, InputError, ModelError

_SAME_AS_REQUESTED = 1  # arena_extend_strategy: grow by what is asked for, not by powers of two
_CPU = "/sys/devices/system/cpu"
_state: dict[str, int] = {}
_reserved: dict[int, int] = {}


def share_arena(max_bytes: int = 0) -> None:
    """Make the arena of this process; the first session does it without a limit, so call this before.

    Args:
        max_bytes: the most that the sessions of the process may take together, for weights and activations. A model
            that would not fit is refused when it is opened, a batch that does not when it is run. 0 is no limit.

    Raises:
        InputError: the limit is negative.
        BackendError: onnxruntime is missing, or the process has an arena with another limit.
    """
    if max_bytes < 0:
        raise InputError(f"max_bytes is {max_bytes}; expected a number of bytes, or 0 for no limit")
    if "arena" in _state:
        if _state["arena"] != max_bytes:
            raise BackendError(
                f"this process has an arena with a limit of {_state['arena']} bytes (0: none); "
                "set the limit before the first session is opened"
            )
        return
    ort = _load()
    info = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(info, ort.OrtArenaCfg(max_bytes, _SAME_AS_REQUESTED, -1, -1))
    _state["arena"] = max_bytes


def reserve(session_bytes: int, where: str) -> int:
    """Count a model's weights against the limit, and return a ticket for `hold` or `release`.

    The arena itself counts weights too late: what it sets aside for them may exceed the limit, which then ends to hold.

    Raises:
        ModelError: the weights of this process's models together are more than the limit.
    """
    if "arena" not in _state:
        share_arena()
    limit, taken = _state["arena"], sum(_reserved.values())
    if limit and taken + session_bytes > limit:
        raise ModelError(
            f"{where}: its {session_bytes} bytes do not fit: the sessions of this process may take {limit} bytes, "
            f"and have {taken}; close one, or raise the limit (edge_runtime.engines.memory.share_arena)"
        )
    ticket = _state["tickets"] = _state.get("tickets", 0) + 1
    _reserved[ticket] = session_bytes
    return ticket


def hold(ticket: int, owner: object) -> None:
    """Count the reservation until `owner` is gone."""
    weakref.finalize(owner, release, ticket).atexit = False


def release(ticket: int) -> None:
    """Count a reservation no longer."""
    _reserved.pop(ticket, None)


def others(ticket: int) -> bool:
    """Whether further models are open in this process."""
    return any(each != ticket for each in _reserved)


def share_threads(threads: int) -> None:
    """Make one pool for all sessions of this process, in the place of one for each; call it before the first session.

    onnxruntime then takes no `threads` of single sessions, whoever opens them, and ours leave them out.

    Raises:
        InputError: fewer than one thread.
        BackendError: onnxruntime is missing, or has its pool.
    """
    if threads < 1:
        raise InputError(f"threads is {threads}; expected at least 1")
    if _state.setdefault("threads", threads) != threads or "arena" in _state:
        raise BackendError("the pool of threads has to be made before the first session of the process")
    try:
        _load().set_global_thread_pool_sizes(threads, 1)
    except Exception as error:
        del _state["threads"]
        raise BackendError(f"onnxruntime does not make a pool of threads: {error}") from error


def shared_threads() -> int:
    """How many threads the process's pool has; 0 where each session has its own."""
    return _state.get("threads", 0)


def big_cores(allowed: Sequence[int], root: str | os.PathLike[str] = _CPU) -> tuple[int, ...]:
    """The fastest of the cores that are `allowed`, by the kernel's numbers; all of them where they are alike.

    `root` is where the kernel tells: ``cpuN/cpu_capacity`` (Arm's big.LITTLE, relative to 1024), else
    ``cpuN/cpufreq/cpuinfo_max_freq`` (kHz). Cores within a tenth of the fastest count as big.
    """
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            speed = {core: _number(f"{os.fspath(root)}/cpu{core}/{name}") for core in allowed}
        except (OSError, ValueError):
            continue
        most = max(speed.values(), default=0)
        return tuple(core for core in allowed if 10 * speed[core] >= 9 * most)
    return tuple(allowed)


def _number(path: str) -> int:
    with open(path, encoding="ascii") as stream:
        return int(stream.read())


def affinities(cores: Sequence[int]) -> str:
    """`session.intra_op_thread_affinities` for a pool on these cores: the first is left to the calling thread.

    >>> affinities([4, 5, 6])
    '6;7'
    """
    return ";".join(str(core + 1) for core in cores[1:])  # onnxruntime counts processors from 1


def _load() -> Any:
    from edge_runtime.engines.onnx import load

    return load()
