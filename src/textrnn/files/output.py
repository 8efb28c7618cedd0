"""Checks before training that a model can be saved, and that it overwrites nobody's work."""

import errno
import os
from pathlib import Path

from textrnn.files.atomic import check_folder
from textrnn.files.model_file import check_replaceable


def check_output(path: str | Path, *inputs: str | Path) -> None:
    """Raise an error unless a model can be saved at ``path`` without harm.

    Args:
        path: where the model will be saved.
        inputs: files that it must not replace: the text, a backup.

    Raises:
        FileNotFoundError: there is no such folder.
        FileExistsError: ``path`` is one of ``inputs``, a device, a pipe, or a file that is not a
            textrnn model.
        OSError: ``path`` is a folder, its name is too long, or no file can be created there.
    """
    real = os.path.realpath(path)
    if real in map(os.path.realpath, inputs):
        message = "The model would overwrite a file that it is trained from; choose another name"
        raise FileExistsError(errno.EEXIST, message, str(path))
    check_folder(path)
    check_replaceable(path)
