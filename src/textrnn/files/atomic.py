"""Atomic replacement of a file. It knows no format.

The new content is written to a temporary file beside the target, flushed to disk, and put in place
by one rename. Whatever happens, the target is the old file or the new one.
"""

import contextlib
import errno
import functools
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HOUR, _DAY = 3600, 86_400  # seconds
_TEMPORARY = re.compile(r"\.textrnn\.([0-9]+)\.[0-9a-f]{8}\.tmp")  # process id, random digits


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` once it is complete and on disk.

    Args:
        path: the target. An existing file keeps its mode; a symbolic link is followed.

    Raises:
        OSError: it cannot be written, and is as it was before. The error names ``path``, never the
            temporary file. Folders, devices and pipes are never replaced.
    """
    target = Path(os.path.realpath(path))
    _check_regular(path, target)
    _clean(target.parent)
    temporary = _temporary(target)
    try:
        # It has the old file's mode from the start, so a private file is private all the time.
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        opener = functools.partial(os.open, mode=0o666 if mode is None else mode)
        with open(temporary, "xb", opener=opener) as file:
            if mode is not None:
                temporary.chmod(mode)  # the umask may have cleared bits of it
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno:  # name the file that the user knows
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    if os.name == "posix":
        try:
            folder = os.open(target.parent, os.O_RDONLY)
        except PermissionError:  # a folder that is writable but not readable cannot be synced
            return
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def start_flush(file: BinaryIO) -> None:
    """Ask the system to start writing, so that fsync has less to wait for."""
    file.flush()
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check_folder(path: str | Path) -> None:
    """Raise an error before training, not after it, if no file can be saved at ``path``.

    An empty file is created in the folder and removed again: permissions alone do not tell.

    Raises:
        FileNotFoundError: there is no such folder.
        FileExistsError: ``path`` is a device or a pipe.
        OSError: ``path`` is a folder, its name is too long, or no file can be created there.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no folder to save in", str(target.parent))
    _check_regular(path, target)
    trial = _temporary(target)
    try:
        trial.open("xb").close()
        trial.unlink()
    except OSError as error:
        message = f"No file can be saved in this folder ({error.strerror}); choose another"
        raise OSError(error.errno, message, str(target.parent)) from None


def _check_regular(path: str | Path, target: Path) -> None:
    """Raise an error if ``target`` exists and is not a file, or if its name is too long."""
    try:
        mode = target.lstat().st_mode
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            return
        message = f"No file can have this name ({error.strerror}); choose another"
        raise OSError(error.errno, message, str(path)) from None
    if stat.S_ISDIR(mode):
        message = "This is a folder; name a file in it"
        raise IsADirectoryError(errno.EISDIR, message, str(path))
    if not stat.S_ISREG(mode):
        message = "This is a device, a pipe or a loop of links, not a file; choose another name"
        raise FileExistsError(errno.EEXIST, message, str(path))


def _clean(folder: Path) -> None:
    """Remove temporary files left by processes that have exited.

    A writer in another container or on another machine cannot be seen from here, so a file is
    kept for an hour before its process is presumed gone.
    """
    for temporary in folder.glob(".textrnn.*.tmp"):
        if match := _TEMPORARY.fullmatch(temporary.name):
            with contextlib.suppress(OSError):
                age = time.time() - temporary.stat().st_mtime
                if age > _DAY or (age > _HOUR and not _runs(match[1])):
                    temporary.unlink()


def _temporary(target: Path) -> Path:
    """Return an unused name for a temporary file beside ``target``."""
    return target.with_name(f".textrnn.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _runs(pid: str) -> bool:
    if os.name != "posix":  # elsewhere, os.kill ends the process
        return True
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):  # no process has so large a number
        return False
    except OSError:  # it is another user's
        return True
    return True
