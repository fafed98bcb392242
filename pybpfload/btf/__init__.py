"""BTF: types of objects and kernels, and decoders built from them.

`Btf` reads a blob; `RecordLayout` turns a type into a
decoder of records.
"""

from __future__ import annotations

from pybpfload.btf.blob import Btf, essential_name
from pybpfload.btf.layout import Field, RecordLayout
from pybpfload.btf.types import Kind

__all__ = ["Btf", "Field", "Kind", "RecordLayout", "essential_name"]
