"""The edge tier of a site: a broker for its devices, a cache of bundles, and what keeps it going without the cloud."""

from cloud.gateway.bridge import Bridge
from cloud.gateway.cache import Cache
from cloud.gateway.gateway import Gateway, Settings
from cloud.gateway.store import Store

__all__ = ["Bridge", "Cache", "Gateway", "Settings", "Store"]
