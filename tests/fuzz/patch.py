"""Hostile patches by the thousand: `python tests/fuzz/patch.py -runs=20000` (needs atheris, which no test needs).

Whatever the bytes, applying them ends in a file of the size that was allowed or in a TransferError, and in no other
way. What would stop an attack early is passed on purpose: the magic, the SHA-256 of the old file, and, in every other
input, the packing of the table and the literals. Patches that are right are where the mutations begin.
"""

import hashlib
import lzma
import struct
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["edge_runtime"]):
    import numpy as np

    from edge_runtime.delta import Tensor, apply, make
    from edge_runtime.delta.patch import _FILTERS as FILTERS
    from edge_runtime.errors import TransferError

HEAD = 4 + 32  # bytes of the patch that are put right: magic, and SHA-256 of the old file
MOST = 1 << 16
SIZES = struct.Struct(
    "<32sQIII"
)  # SHA-256 of the new file, its bytes, those of table, literals and joint differences


def file(seed: int) -> tuple[bytes, dict[str, Tensor]]:
    """A file with tensors of every kind."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(0)
    content, tensors = b"graph " * 20, {}
    for name, kind in (("a", "float32"), ("b", "int8"), ("c", "int32"), ("d", "float16"), ("e", "float32")):
        values = (base.normal(size=300) * 20 + seed * rng.normal(size=300)).astype(kind)
        tensors[name] = Tensor(len(content), values.nbytes, kind, 10)
        content += values.tobytes() + name.encode() * 30
    return content, tensors


OLD, PLACES = file(0)
DIGEST = hashlib.sha256(OLD).digest()


def unpacked(content: bytes) -> bytes:
    """A patch without its first bytes, with table and literals as they are before they are packed."""
    digest, size, table, literals, joint = SIZES.unpack_from(content)
    place, plain = SIZES.size, []
    for length in (table, literals):
        packed = content[place : place + length]
        plain.append(lzma.decompress(packed, lzma.FORMAT_RAW, filters=FILTERS))
        place += length
    return SIZES.pack(digest, size, *map(len, plain), joint) + b"".join(plain) + content[place:]


def packed(content: bytes) -> bytes:
    """The other way round, of any bytes."""
    if len(content) < SIZES.size:
        return content
    digest, size, table, literals, joint = SIZES.unpack_from(content)
    body = content[SIZES.size :]
    table %= len(body) + 1
    literals %= len(body) - table + 1
    joint %= len(body) - table - literals + 1
    parts = [
        lzma.compress(each, lzma.FORMAT_RAW, filters=FILTERS)
        for each in (body[:table], body[table : table + literals])
    ]
    return b"".join(
        [SIZES.pack(digest, size % (2 * MOST), *map(len, parts), joint), *parts, body[table + literals :]]
    )


def attack(data: bytes) -> None:
    """One hostile patch."""
    content = packed(data[1:]) if data[:1] == b"p" else data[1:]
    patch = b"LTD2" + DIGEST + content
    try:
        new = apply(OLD, patch, most=MOST)
    except TransferError:
        return
    if len(new) > MOST or hashlib.sha256(new).digest() != content[:32]:
        raise AssertionError("a patch made what it does not say")


def seeds(folder: Path) -> None:
    """Patches that are right, and one that says it makes much."""
    for seed in range(1, 4):
        new, places = file(seed)
        content = make(OLD, new, PLACES, places)[HEAD:]
        large = content[:32] + struct.pack("<Q", MOST) + content[40:]
        for name, each in (("right", content), ("large", large)):
            (folder / f"{name}{seed}").write_bytes(b"-" + each)
            (folder / f"{name}{seed}p").write_bytes(b"p" + unpacked(each))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as corpus:
        seeds(Path(corpus))
        atheris.Setup([*sys.argv, corpus, "-max_len=8192", "-rss_limit_mb=2048"], attack)
        atheris.Fuzz()
