"""The fleet: devices and their twins, who is meant by a selector, and what is asked of them."""

from cloud.fleet.devices import Asked, Device, Twin, shown
from cloud.fleet.fleet import Fleet
from cloud.fleet.selector import Selector

__all__ = ["Asked", "Device", "Fleet", "Selector", "Twin", "shown"]
