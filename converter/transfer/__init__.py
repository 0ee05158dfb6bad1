"""Graph surgery for transfer learning, done in the cloud: another head, the last layers, the split into A and B.

The device then trains what is left to train; see `docs/training.md`.
"""

from converter.transfer.head import replace_head
from converter.transfer.layers import last_layers
from converter.transfer.old_and_new import OldAndNew
from converter.transfer.pack import pack_split, pack_stages
from converter.transfer.split import cuts, join, split

__all__ = ["OldAndNew", "cuts", "join", "last_layers", "pack_split", "pack_stages", "replace_head", "split"]
