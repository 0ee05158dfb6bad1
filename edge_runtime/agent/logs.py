"""The last lines of the agent's log in memory, for the command "logs"; and lines of JSON, for machines."""

import json
import logging
import time
from collections import deque


class Lines(logging.Handler):
    """Keeps the last lines."""

    def __init__(self) -> None:
        super().__init__()
        self.last: deque[str] = deque(maxlen=500)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        self.last.append(f"{stamp} {record.getMessage()}")


class JsonLines(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes each record as one line of JSON: time, level, text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "text": record.getMessage(),
        }
        return json.dumps(said)
