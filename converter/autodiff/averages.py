"""Running averages that a step updates: all of them in one go.

A network has two for each batch normalisation, short vectors every one; a node for each of their sums and products
costs more than what it computes.
"""

from collections.abc import Sequence

from converter.autodiff.graph import Graph, Value

Average = tuple[str, Value, float]
"""What is updated, by what, and the momentum."""


def averaged(g: Graph) -> dict[str, Value]:
    """The new value of each: momentum·running + (1 - momentum)·batch; of what is updated twice, both times."""
    values: dict[str, Value] = {}
    waiting = list(g.averages)
    while waiting:
        momentum, now, later = waiting[0][2], list[Average](), list[Average]()
        for entry in waiting:
            fits = entry[2] == momentum and entry[0] not in {name for name, *_ in [*now, *later]}
            (now if fits else later).append(entry)
        before = _joined(g, [values.get(name, g.value(name)) for name, *_ in now])
        batch = _joined(g, [value for _, value, _ in now])
        after = before * momentum + batch * (1 - momentum)
        lengths = [int(g.shapes[name][0]) for name, *_ in now]
        values.update(zip((name for name, *_ in now), split(g, after, lengths), strict=True))
        waiting = later
    return values


def _joined(g: Graph, parts: Sequence[Value]) -> Value:
    return parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=0)


def split(g: Graph, whole: Value, lengths: Sequence[int]) -> Sequence[Value]:
    """The parts of a vector."""
    if len(lengths) == 1:
        return [whole]
    return g.ops("Split", whole, list(lengths), outputs=len(lengths), axis=0)
