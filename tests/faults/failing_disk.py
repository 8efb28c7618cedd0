"""A disk whose n-th operation fails, as SQLite's tests have it (https://sqlite.org/testing.html)."""

import builtins
import io
import os
from contextlib import contextmanager
from unittest import mock


class FailingDisk:
    """Lets the n-th operation on files below a folder fail, and all others succeed.

    Operations are to open, write, fsync, replace, mkdir and unlink. A write that fails has written
    half of what it should.

    Args:
        folder: files elsewhere are left alone.
        fails_at: n, from 1.
        error: its number, as in ``errno``.
    """

    def __init__(self, folder, fails_at, error):
        self.folder, self.fails_at, self.error = str(folder), fails_at, error
        self.calls = []

    @property
    def has_failed(self):
        """Whether there were n operations."""
        return len(self.calls) >= self.fails_at

    def tick(self, what, *path):
        """Count an operation; raise an error if it is the one that fails."""
        self.calls.append(what)
        if len(self.calls) == self.fails_at:
            raise OSError(self.error, os.strerror(self.error), *map(str, path))

    def is_ours(self, path):
        """Return whether a path is below the folder."""
        return isinstance(path, str | os.PathLike) and str(path).startswith(self.folder)

    @contextmanager
    def plugged_in(self):
        """Put it in the place of the real disk."""
        names = {"replace": 0, "mkdir": 0, "unlink": 0, "open": 0}
        changed = {name: self._counting(name, getattr(os, name)) for name in names}
        changed["fsync"] = self._counting("fsync", os.fsync)
        opened = self._opening(io.open)
        with (
            mock.patch.multiple(os, **changed),
            mock.patch.object(io, "open", opened),
            mock.patch.object(builtins, "open", opened),
        ):
            yield

    def _counting(self, name, real):
        def call(path, *args, **kwargs):
            if name == "fsync":
                self.tick(name)
            elif self.is_ours(path):
                self.tick(name, path)
            return real(path, *args, **kwargs)

        return call

    def _opening(self, real):
        def call(path, *args, **kwargs):
            if not self.is_ours(path):
                return real(path, *args, **kwargs)
            if "opener" not in kwargs:  # an opener is os.open, which counts itself
                self.tick("open", path)
            return _File(real(path, *args, **kwargs), self)

        return call


class _File:
    """A file whose writes are counted."""

    def __init__(self, file, disk):
        self._file, self._disk = file, disk

    def write(self, data):
        """Write, or write half and fail."""
        try:
            self._disk.tick("write")
        except OSError:
            self._file.write(data[: len(data) // 2])
            raise
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *args):
        return self._file.__exit__(*args)

    def __iter__(self):
        return iter(self._file)
