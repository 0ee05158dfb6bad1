"""Topics and payloads between device, site and cloud as AsyncAPI 3.0, made of `edge_runtime.messages` themselves.

`python -m cloud.fleet.schema` prints docs/asyncapi.json. Types, bounds, defaults and descriptions come from the
messages' classes; what their `read` checks beyond the type stands in `_BOUNDS` (a test holds both to agree).
"""

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from edge_runtime import messages
from edge_runtime.messages import topics
from edge_runtime.messages.fields import MAX_BYTES
from edge_runtime.messages.twin import POWER

SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_OPTIONAL_SHA256 = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}
_NAME = {"type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$"}
_TIME = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
_MOST = 1 << 53
_WEEK_S = 604_800
_PPM = {"type": "integer", "minimum": 0, "maximum": 1_000_000}

_BOUNDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "Release": {
        "name": _NAME, "sha256": SHA256, "version": {"minimum": 1}, "bytes": {"minimum": 1}, "path": {"maxLength": 256}
    },
    "Desired": {
        "v": {"minimum": 1}, "rollout": _NAME, "jitter_s": {"maximum": _WEEK_S}, "probation_s": {"maximum": _WEEK_S},
        "probes": {"minimum": 1, "maximum": 1000},
        "window": {"type": "array", "items": _TIME, "minItems": 2, "maxItems": 2},
        "brokers": {"type": "array", "items": {"type": "string", "maxLength": 256}, "maxItems": 64},
    },
    "Reported": {
        "state": {"type": "string", "enum": list(messages.STATES)}, "model": _OPTIONAL_SHA256,
        "previous": _OPTIONAL_SHA256, "slot": {"type": "string", "enum": ["", "a", "b"]}, "progress_ppm": _PPM,
        "target": _NAME, "agent": {"maxLength": 64},
    },
    "Command": {"id": _NAME, "op": _NAME},
    "Result": {
        "id": _NAME, "status": {"type": "string", "enum": ["done", "failed", "expired", "unknown"]},
        "text": {"maxLength": 32_768},
    },
    "Beat": {"up_s": {"default": 0}, "power": {"type": "string", "enum": list(POWER)}},
    "Stats": {"model": SHA256, "n": {"default": 0}, "drift_ppm": _PPM},
}  # fmt: skip
_CLASSES = (
    messages.Desired, messages.Release, messages.Shadow, messages.Command, messages.Reported, messages.Result,
    messages.Stats, messages.Beat,
)  # fmt: skip
_STATE = {"type": "string", "enum": ["here", "gone"], "description": "as text, not as JSON"}
_BATCH = {
    "type": "string",
    "description": 'zlib over JSON lines, each ["DEVICE", "KIND", MESSAGE]; the state\'s word is a text',
}
# Channel: (address, message, who speaks, quality of service, what it is for).
_CHANNELS = {
    "desired": (topics.down("{device}", "desired"), "Desired", "receive", 1, "What the device shall be."),
    "command": (topics.down("{device}", "command"), "Command", "receive", 1, "One thing to do now."),
    "reported": (topics.up("{device}", "reported"), "Reported", "send", 1, "What the device is."),
    "result": (topics.up("{device}", "result"), "Result", "send", 1, "What became of a command."),
    "stats": (topics.up("{device}", "stats"), "Stats", "send", 1, "How the model does."),
    "beat": (topics.up("{device}", "beat"), "Beat", "send", 0, "That the device lives."),
    "state": (topics.up("{device}", "state"), "State", "send", 1, '"here", and as the last will "gone".'),
    "siteDesired": (
        topics.through("{site}", "{device}", "desired"), "Desired", "receive", 1, "To a device behind a gateway.",
    ),
    "siteCommand": (
        topics.through("{site}", "{device}", "command"), "Command", "receive", 1, "To a device behind a gateway.",
    ),
    "siteBatch": (topics.site_up("{site}", "batch"), "Batch", "send", 1, "What a site's devices said, many in one."),
    "siteState": (topics.site_up("{site}", "state"), "State", "send", 1, 'The gateway\'s own "here" and "gone".'),
    "all": (topics.ALL, "Who", "receive", 0, "Devices report again; nothing depends on it."),
}  # fmt: skip


def document() -> dict[str, Any]:
    """The whole description, an AsyncAPI 3.0 document; "send" is what the device or the gateway does."""
    schemas = {each.__name__: schema_of(each) for each in _CLASSES}
    schemas |= {"State": _STATE, "Batch": _BATCH, "Who": {"type": "string", "const": "who"}}
    names = sorted({message for _, message, *_ in _CHANNELS.values()})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Littoral: device, gateway and cloud",
            "version": "1.0.0",
            "license": {"name": "Apache-2.0"},
            "description": "MQTT 3.1.1, nothing retained, clean sessions. Operations are those of a device or gateway. "
            f"A message has at most {MAX_BYTES} bytes; fields that are null are left out; unknown ones are ignored.",
        },
        "defaultContentType": "application/json",
        "channels": {key: _channel(*given) for key, given in _CHANNELS.items()},
        "operations": {
            f"{action}{key[0].upper()}{key[1:]}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{key}"},
                "summary": summary,
                "bindings": {"mqtt": {"qos": qos, "retain": False, "bindingVersion": "0.2.0"}},
            }
            for key, (_, _, action, qos, summary) in _CHANNELS.items()
        },
        "components": {"messages": {name: _message(name) for name in names}, "schemas": schemas},
    }


def schema_of(message: type) -> dict[str, Any]:
    """The JSON Schema (draft 7) of a message."""
    hints, said = typing.get_type_hints(message), _said(message)
    bounds = _BOUNDS.get(message.__name__, {})
    properties: dict[str, Any] = {}
    required = []
    for field in dataclasses.fields(message):
        found = {**_typed(hints[field.name]), **bounds.get(field.name, {})}
        if field.name in said:
            found["description"] = said[field.name]
        if field.default is not dataclasses.MISSING and field.default is not None:
            found["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
        elif (
            field.default_factory is dataclasses.MISSING
            and field.default is not None
            and "default" not in found
        ):
            required.append(field.name)
        properties[field.name] = found
    description = inspect.getdoc(message) or ""
    return {
        "type": "object",
        "description": " ".join(description.partition("\n\nArgs:")[0].split()),
        "required": required,
        "properties": properties,
    }


def _typed(hint: Any) -> dict[str, Any]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    if dataclasses.is_dataclass(hint):
        return {"$ref": f"#/components/schemas/{getattr(hint, '__name__', '')}"}
    if typing.get_origin(hint) is not None:  # of Mapping and tuple, which `_BOUNDS` says more of
        return {"type": "object"}
    plain: dict[Any, dict[str, Any]] = {
        int: {"type": "integer", "minimum": 0, "maximum": _MOST},
        float: {"type": "number"},
        bool: {"type": "boolean"},
        str: {"type": "string", "maxLength": 1024},
    }
    return dict(plain[hint])


def _said(message: type) -> dict[str, str]:
    """What the docstring says of each field, Google style."""
    part = (inspect.getdoc(message) or "").partition("Args:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", part, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _channel(address: str, message: str, _action: str, _qos: int, summary: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": address,
        "summary": summary,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }
    known = {
        "device": "The device's name, as its certificate says.",
        "site": "The site's: its gateway's name.",
    }
    parameters = {name: {"description": text} for name, text in known.items() if f"{{{name}}}" in address}
    return {**found, "parameters": parameters} if parameters else found


def _message(name: str) -> dict[str, Any]:
    kinds = {"State": "text/plain", "Who": "text/plain", "Batch": "application/zlib"}
    return {
        "name": name,
        "contentType": kinds.get(name, "application/json"),
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def text() -> str:
    """The document as it stands in docs/asyncapi.json."""
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    print(text(), end="")
