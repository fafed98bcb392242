# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: ARG002, D102, UP031, UP036  the import protocol names all this; any Python has to read it
"""Start crypto-tracer from its single file."""

import sys

BYTECODE = {}  # cache tag: magic number, offset and size of the index; filled in by the build

if sys.version_info < (3, 9):
    sys.exit("crypto-tracer: needs Python 3.9 or newer, this is %d.%d" % sys.version_info[:2])


class Bytecode:
    """Imports from the bytecode in the archive: one table, read where it lies.

    Python's own way into a zip file takes twice as long for each module. The file stays open: what is imported
    later comes from it, too, even if another version has taken its place meanwhile, or another user's rights do
    not reach it.
    """

    def __init__(self, archive, zip_loader, offset, size):
        import marshal
        import os
        import zlib

        self._archive, self._zip = archive, zip_loader
        self._pread, self._loads, self._inflate = os.pread, marshal.loads, zlib.decompress
        self._fd = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
        self._start = offset + size
        self._index = self._loads(self._pread(self._fd, size, offset))

    def find_spec(self, name, path=None, target=None):
        """Part of the import protocol, like all that follows."""
        entry = self._index.get(name)
        if entry is None:
            return None
        file = self._archive + "/" + entry[0]
        spec = ModuleSpec(name, self, origin=file, is_package=entry[1])
        spec.has_location = True
        if entry[1]:
            spec.submodule_search_locations.append(file.rpartition("/")[0])
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name):
        file, _, offset, size = self._index[name]
        code = self._loads(self._inflate(self._pread(self._fd, size, self._start + offset)))
        _fix_co_filename(code, self._archive + "/" + file)
        return code

    def is_package(self, name):
        return self._index[name][1]

    def get_source(self, name):
        return self.get_data(self._archive + "/" + self._index[name][0]).decode()

    def get_data(self, path):
        return self._zip.get_data(path)


try:
    from _frozen_importlib_external import MAGIC_NUMBER

    magic, *place = BYTECODE.get(sys.implementation.cache_tag, (b"",))
    if magic == MAGIC_NUMBER:
        from _frozen_importlib import ModuleSpec
        from _imp import _fix_co_filename

        sys.meta_path.insert(0, Bytecode(sys.path[0], __spec__.loader, *place))

    from tracer.cli import main
except KeyboardInterrupt:  # before main() could listen to signals
    sys.exit(130)

sys.exit(main())
