"""(header, tensors) to one file and back. It knows the format, but no class.

The file is a safetensors file (https://github.com/huggingface/safetensors#format), so any
safetensors reader shows its tensors. Three entries of its metadata are ours:

    textrnn_format   the version of this format, "1"
    header           JSON: what the caller wants to remember
    digests          JSON: the sha256 of the header and of every tensor

A file holds no code, and reading it executes none.
"""

import errno
import hashlib
import json
import math
import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import CorruptModelError, UnsupportedFormatError
from textrnn.files.atomic import atomic_write, start_flush

FORMAT = 1
_MAX_HEADER = 16_000_000  # bytes; as JSON in memory it may take 20 times as much
_DTYPES = {
    "F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8,
}  # fmt: skip

Tensors = Mapping[str, NDArray[Any]]
Layout = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


def save(path: str | Path, header: Mapping[str, Any], tensors: Tensors) -> None:
    """Write a header and tensors to one file, completely or not at all.

    Args:
        path: the file. An existing model is replaced and keeps its mode; a symbolic link is
            followed.
        header: anything JSON can hold. Finite numbers only.
        tensors: name to array, of integers or of 32-bit or 64-bit floats.

    Raises:
        FileExistsError: ``path`` is something other than a textrnn model.
        OSError: the file cannot be written; ``path`` is as it was before.
        TypeError: an array has another dtype.
        ValueError: the header holds something that JSON cannot, or is larger than 16 MB.
    """
    check_replaceable(path, backup="backup" in header)
    arrays = {name: _little_endian(name, tensors[name]) for name in tensors}
    # Large items first, so that all are aligned.
    arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))
    try:
        text = json.dumps(header, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The header must be what JSON can hold ({error}).") from None
    room = len(_head(text, arrays, dict.fromkeys(arrays, "0" * 64)))
    if room > _MAX_HEADER:
        raise ValueError(
            f"The header of a file, most of it the vocabulary, may have {_MAX_HEADER:,} bytes; "
            f"Vocab.from_text(max_size=...) makes a smaller one. Received: {room:,} bytes"
        )
    digests = {}
    with atomic_write(Path(path)) as file:
        file.seek(room)
        for name, array in arrays.items():
            file.write(_bytes_of(array))
            start_flush(file)  # the disk writes while the checksum is computed
            digests[name] = _digest(array)
        file.seek(0)
        file.write(_head(text, arrays, digests))


def load(path: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file that ``save`` wrote, and check that it is whole.

    Returns:
        The header, and a dict from name to array (writable, in its own memory).

    Raises:
        UnsupportedFormatError: it is not a textrnn file, or a newer textrnn wrote it.
        CorruptModelError: it is damaged: cut short, changed or contradicting itself.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        reader = Reader(file, path)
        return reader.header, reader.tensors()


def check_replaceable(path: str | Path, *, backup: bool = False) -> None:
    """Raise ``FileExistsError`` if ``path`` is a file that is neither empty nor a textrnn model.

    A damaged model may be replaced: only the beginning of the header is looked at.

    Args:
        path: where something is to be saved.
        backup: whether it is a backup of a training. A backup replaces only a backup, and a model
            only a model.
    """
    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(min(length, _MAX_HEADER))
    ours = head[:1] == b"{" and b'"textrnn_format"' in head
    if not ours or (b'\\"backup\\": ' in head) != backup:
        kind = "backup" if backup else "model"
        message = f"This file is not a textrnn {kind}; move it away or choose another name"
        raise FileExistsError(errno.EEXIST, message, str(path))


class Reader:
    """Reads a file that ``save`` wrote: the header at once, the tensors on request.

    A caller can check the header before any tensor is allocated.

    Args:
        file: a file in binary mode, open until the tensors are read.
        path: its name, for messages.

    Attributes:
        header: as it was saved.
        layout: the shape and dtype of each tensor, by name.

    Raises:
        UnsupportedFormatError, CorruptModelError, OSError: as ``load``.
    """

    def __init__(self, file: BufferedReader, path: str | Path) -> None:
        self._file, self._path = file, Path(path)
        head, room = _read_head(file, self._path)
        metadata = _check_metadata(head.pop("__metadata__", None), self._path)
        digests = _parse(metadata["digests"], self._path)
        if digests.get("header") != _digest(metadata["header"].encode(errors="surrogatepass")):
            raise self._changed()
        self.header = _parse(metadata["header"], self._path)
        self.layout = _read_layout(head, room, self._path)
        self._digests = digests.get("tensors", {})
        if not isinstance(self._digests, dict) or self._digests.keys() != self.layout.keys():
            raise self._changed()

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Read the tensors, once, and compare each with its checksum."""
        tensors = {}
        for name, (shape, dtype) in self.layout.items():
            tensors[name] = array = np.empty(shape, dtype)
            read = self._file.readinto(array.reshape(-1).view(np.uint8).data)
            if read != array.nbytes or _digest(array) != self._digests[name]:
                raise self._changed()
        return tensors

    def _changed(self) -> CorruptModelError:
        return CorruptModelError(
            "The file does not hold what was saved: a checksum differs. Restore it from a copy. "
            f"Received: {str(self._path)!r}"
        )


def _read_head(file: BufferedReader, path: Path) -> tuple[dict[str, Any], int]:
    """Return the safetensors header and the number of bytes that follow it.

    We parse it ourselves, because the reader of safetensors accepts duplicate keys. Of a file of
    another kind only the beginning is read, however large it is.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    begin = file.read(9)
    length = int.from_bytes(begin[:8], "little")
    if size < 10 or begin[8:] != b"{":
        raise UnsupportedFormatError(
            "This is not a textrnn model file: it does not begin as a safetensors file does. "
            f"Received: {str(path)!r}, {size} bytes, beginning with {begin[:8]!r}"
        )
    if length > min(_MAX_HEADER, size - 8):
        raise CorruptModelError(
            f"The file says that its header has {length} bytes, but only {size - 8} follow (and "
            f"{_MAX_HEADER} are allowed); it was cut short. Received: {str(path)!r}"
        )
    return _parse(begin[8:] + file.read(length - 1), path), size - 8 - length


def _check_metadata(metadata: Any, path: Path) -> dict[str, str]:
    if not isinstance(metadata, dict) or "textrnn_format" not in metadata:
        raise UnsupportedFormatError(
            "This is a safetensors file, but not one that textrnn wrote (its metadata has no "
            f"'textrnn_format'). Received: {str(path)!r}"
        )
    version = metadata["textrnn_format"]
    if version != str(FORMAT):
        raise UnsupportedFormatError(
            f"The file has format {version!r:.20}, and this textrnn reads format {FORMAT}; "
            f"upgrade textrnn. Received: {str(path)!r}"
        )
    if not all(isinstance(metadata.get(key), str) for key in ("header", "digests", *metadata)):
        raise CorruptModelError(
            "The file's metadata has no 'header' or no 'digests', or holds something other than "
            "text. "
            f"Received: {str(path)!r}"
        )
    return metadata


def _read_layout(head: Mapping[str, Any], room: int, path: Path) -> Layout:
    """Return shape and dtype of the tensors, in the order of their data.

    The data must fill the rest of the file to the last byte, without gaps or overlaps.
    """
    found = []
    try:
        for name, entry in head.items():
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"]
            start, end = entry["data_offsets"]
            numbers = [start, end, *shape]
            if len(entry) != 3 or len(shape) > 8 or any(type(n) is not int for n in numbers):
                raise ValueError(f"tensor {name!r:.60} has an unexpected description")
            most = math.prod(n or 1 for n in shape) * dtype.itemsize  # NumPy's limit
            if min(numbers) < 0 or most >= 2**63:
                raise ValueError(f"tensor {name!r:.60} has impossible numbers")
            if end - start != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"tensor {name!r:.60} has a size that does not match its shape")
            found.append((start, end, name, tuple(shape), dtype))
        found.sort()
        if [0, *(end for _, end, *_ in found)] != [*(start for start, *_ in found), room]:
            raise ValueError("their data overlap, leave a gap or do not end where the file does")
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptModelError(
            f"The file's tensors cannot be read ({error}); it is damaged. Received: {str(path)!r}"
        ) from None
    return {name: (shape, dtype) for _, _, name, shape, dtype in found}


def _parse(text: str | bytes, path: Path) -> dict[str, Any]:
    """Return parsed JSON; duplicate keys, NaN and very deep nesting are errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    def whole(digits: str) -> int:
        if len(digits) > 1000:
            raise ValueError("a number has more than 1000 digits")
        return int(digits)

    def finite(number: str) -> float:
        if not math.isfinite(float(number)):
            raise ValueError(f"{number:.20} is too large")
        return float(number)

    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(
            text,
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_int=whole,
            parse_float=finite,
        )
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
    except (ValueError, RecursionError) as error:
        raise CorruptModelError(
            f"The file's header is not valid JSON ({error!s:.200}). Received: {str(path)!r}"
        ) from None
    return value


def _head(header: str, arrays: Tensors, digests: Mapping[str, str]) -> bytes:
    """Return the bytes before the tensors; their number does not depend on the digests."""
    metadata = {
        "textrnn_format": str(FORMAT),
        "header": header,
        "digests": json.dumps({"header": _digest(header.encode()), "tensors": digests}),
    }
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        dtype = next(code for code, known in _DTYPES.items() if array.dtype == known)
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [begin, end]}
    head = json.dumps(entries, sort_keys=True).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head


def _little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(array)
    if array.dtype.newbyteorder("=") not in map(np.dtype, _DTYPES.values()):
        known = ", ".join(np.dtype(dtype).name for dtype in _DTYPES.values())
        raise TypeError(f"The array {name!r} must have the dtype {known}. Received: {array.dtype}")
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


def _digest(data: bytes | NDArray[Any]) -> str:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(f"{data.dtype.str} {data.shape}".encode())
    digest.update(_bytes_of(data))
    return digest.hexdigest()


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """Return an array's bytes without copying them."""
    return array.reshape(-1).view(np.uint8).data
