"""Apply a patch in a process of its own: ``python -m edge_runtime.delta OLD PATCH NEW MOST``; see `patch.apply`.

For a sealed bundle the content key comes on stdin, in hexadecimal digits. The memory that it may take is limited.
"""

import resource
import sys
from pathlib import Path

from edge_runtime.delta import apply
from edge_runtime.errors import LittoralError

_MEMORY = 256 << 20  # bytes, beside twelve times those of the files


def main(arguments: list[str]) -> int:
    """Write the file that the patch makes; 2 and a sentence on stderr if it makes none."""
    old, patch, new = map(Path, arguments[:3])
    most = int(arguments[3])
    try:
        limit = _MEMORY + 12 * (old.stat().st_size + most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        content = patch.read_bytes()
        if content[:4] == b"LTE1":
            from edge_runtime.delta.sealed import apply_sealed

            made = apply_sealed(old, content, bytes.fromhex(sys.stdin.read()), most=most)
        elif content[:4] == b"LTC1":
            from edge_runtime.delta.recoded import apply_recoded

            made = apply_recoded(old.read_bytes(), content, most=most)
        else:
            made = apply(old.read_bytes(), content, most=most)
        new.write_bytes(made)
    except (LittoralError, OSError, MemoryError, ValueError) as error:
        sys.stderr.write(f"{error or type(error).__name__}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
