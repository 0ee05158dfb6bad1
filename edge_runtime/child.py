"""How a process starts Python again, for a child of its own.

Under QEMU's user mode `sys.executable` is another machine's program, which the host's kernel cannot start by itself.
So the emulator tells the whole command in an environment variable, and children inherit it.
"""

import json
import os
import sys

VARIABLE = "LITTORAL_PYTHON"  # a JSON array of words; set by the emulator


def python() -> list[str]:
    """The words of a command that starts Python as this process was started; options and arguments follow.

    >>> import sys
    >>> python() == [sys.executable]
    True
    """
    told = os.environ.get(VARIABLE)
    return [str(word) for word in json.loads(told)] if told else [sys.executable]
