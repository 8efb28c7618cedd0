"""Where a model may be saved: found out before a training, so that nothing a user made is lost."""

import errno
import os
from pathlib import Path

from textrnn.files.atomic import check_folder
from textrnn.files.model_file import check_replaceable


def check_output(path: str | Path, *inputs: str | Path) -> None:
    """Raise an error unless a model can be saved at ``path``, and harms nothing there.

    Args:
        path: the file that a training will be saved to.
        inputs: files that it must not be: the text, a backup.

    Raises:
        FileNotFoundError: there is no such folder.
        FileExistsError: it is one of ``inputs``, or something that no model may take the place
            of: a device, a pipe, or a file that is no textrnn model.
        OSError: it is a folder, its name is too long, or no file can be created there.
    """
    real = os.path.realpath(path)
    if real in map(os.path.realpath, inputs):
        message = "The model would be saved over what it is trained from; choose another name"
        raise FileExistsError(errno.EEXIST, message, str(path))
    check_folder(path)
    check_replaceable(path)
