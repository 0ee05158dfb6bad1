"""Different codecs for different tensors: the first rule that fits a tensor's name or size takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.codecs.codec import Codec, Context
from federated.codecs.half import Half
from federated.codecs.qsgd import QSGD
from federated.codecs.reader import Reader


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` is a name with * and ?, or ``<256``: of fewer elements than that."""

    pattern: str
    codec: Codec

    def fits(self, name: str, array: Array) -> bool:
        """Whether this rule takes the tensor."""
        if self.pattern.startswith("<"):
            return bool(array.size < int(self.pattern[1:]))
        return fnmatchcase(name, self.pattern)

    def __post_init__(self) -> None:
        if not self.pattern or (self.pattern.startswith("<") and not self.pattern[1:].isdecimal()):
            raise InputError(f"layers: rule '{self.pattern}': expected a name with * or ?, or <256")


@dataclass(frozen=True, slots=True)
class Layers:
    """Each rule's codec gets all of its tensors at once; the last rule has to fit everything."""

    rules: tuple[Rule, ...] = (Rule("<256", Half()), Rule("*", QSGD()))

    def __post_init__(self) -> None:
        if not self.rules or self.rules[-1].pattern != "*":
            raise InputError("layers: the last rule has to be '*=...', for what no other fits")

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        groups = zip(self.rules, self._groups(update), strict=True)
        return b"".join(rule.codec.encode(group, context) for rule, group in groups if group)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        found: dict[str, Array] = {}
        for rule, group in zip(self.rules, self._groups(like), strict=True):
            if group:
                found |= rule.codec.decode(content, group)
        return found

    def _groups(self, arrays: Mapping[str, Array]) -> list[dict[str, Array]]:
        groups: list[dict[str, Array]] = [{} for _ in self.rules]
        for name, array in arrays.items():
            first = next(i for i, rule in enumerate(self.rules) if rule.fits(name, array))
            groups[first][name] = array
        return groups
