"""Update codecs: what a device learned in a round as few bytes as possible, with NumPy alone.

``encode(parse("default"), update, Context(seed, round, client))`` gives a message, ``decode(message, like)`` the update
back.
"""

from federated.codecs.clip import clip
from federated.codecs.codec import Codec, Context
from federated.codecs.message import decode, encode
from federated.codecs.spec import CODECS, NAMED, parse, spec

__all__ = ["CODECS", "NAMED", "Codec", "Context", "clip", "decode", "encode", "parse", "spec"]
