"""Maps: dictionaries, sequences, queues and more in the kernel.

`create_map()`, `open_map()` and `load()` give each type of map a class that says what can be done with
it: `pybpfload.maps.table` is the list. Keys and values are what BTF makes of them, and bytes where it says
nothing.
"""

from pybpfload.maps.array import ArrayMap
from pybpfload.maps.base import Map, MapInfo
from pybpfload.maps.cpus import PerCpu, possible_cpus
from pybpfload.maps.create import create_map, open_map
from pybpfload.maps.handles import MapArray, MapHash, SlotMap
from pybpfload.maps.hash import HashMap
from pybpfload.maps.lpm import LpmTrie
from pybpfload.maps.queues import BloomFilter, QueueMap
from pybpfload.maps.storage import StorageMap

__all__ = [
    "ArrayMap",
    "BloomFilter",
    "HashMap",
    "LpmTrie",
    "Map",
    "MapArray",
    "MapHash",
    "MapInfo",
    "PerCpu",
    "QueueMap",
    "SlotMap",
    "StorageMap",
    "create_map",
    "open_map",
    "possible_cpus",
]
