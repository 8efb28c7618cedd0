"""Reading of a file's bytes as text: compression, encoding and line ends."""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

from textrnn.errors import DataError

_COMPRESSED: dict[bytes, tuple[Callable[[bytes], bytes], Callable[[Path], Any]]] = {
    b"\x1f\x8b": (gzip.decompress, gzip.open),
    b"BZh": (bz2.decompress, bz2.open),
    b"\xfd7zXZ\x00": (lzma.decompress, lzma.open),
}
_MARKS = {  # byte order marks, the longer ones first
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_KINDS = {  # files that are not text, by their first bytes
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "a document of an old Office program",
    b"{\\rtf": "an RTF document",
    b"PK\x03\x04": "a zip archive, as .docx, .odt and .epub files are, too",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"SQLite format 3": "a database",
}
_GUESSES = ("cp1252", "cp1250", "iso-8859-2", "cp1251", "koi8-r", "cp1253", "gbk", "shift_jis")
_LONGEST_MARK = 16  # bytes at the beginning of a file by which its kind is known
_PIECE = 1 << 20  # bytes that are read at a time
_SHOWN = 40  # characters to show of a line that cannot be read
_MOST_GUESSES = 4


def read_file(path: Path, encoding: str | None = None) -> str:
    r"""Return the text in a file, with the line ends that ``open`` gives: ``"\n"``.

    Args:
        path: a text file; one compressed with gzip, bzip2 or xz is decompressed.
        encoding: of its bytes; None for UTF-8, with or without a byte order mark.

    Raises:
        DataError: the file is not a text, or not in this encoding; the message shows the first bad
            line in likely encodings.
        LookupError: there is no such encoding.
        OSError: the file cannot be read.
    """
    data = _decompress(path.read_bytes(), path)
    if encoding is None:
        _check_kind(data, path)
    try:
        text = data.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(_advice(data, error, encoding, path)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_pieces(path: Path, encoding: str | None = None) -> Iterator[str]:
    """Yield the text that ``read_file`` returns, about 1 MB of the file at a time.

    Args:
        path: as in ``read_file``.
        encoding: likewise.

    Raises:
        DataError, LookupError, OSError: as ``read_file``, after the pieces before the fault.
    """
    decode = codecs.getincrementaldecoder(encoding or "utf-8-sig")()
    decoder = io.IncrementalNewlineDecoder(decode, translate=True)
    try:
        with _open(path) as file:
            data = file.read(_LONGEST_MARK)
            is_text = encoding is not None or not _is_known(data)
            while data:
                if not is_text or (encoding is None and b"\x00" in data):
                    raise ValueError("The file is not a text")
                yield decoder.decode(data)
                data = file.read(_PIECE)
        yield decoder.decode(b"", final=True)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        read_file(path, encoding)  # raises an error that says more
        raise


def files_in(folder: Path) -> list[Path]:
    """Return the text files in a folder and the folders below it, sorted by their paths.

    Hidden files are left out, and so are files that do not begin like text.

    Raises:
        DataError: there are no text files.
    """
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and _begins_as_text(path)
    ]
    if not found:
        raise DataError(f"The folder has no text files. Received: {str(folder)!r}")
    return found


def _decompress(data: bytes, path: Path) -> bytes:
    for magic, (decompress, _) in _COMPRESSED.items():
        if data.startswith(magic):
            try:
                return decompress(data)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise DataError(
                    f"The compressed file is damaged ({error}); unpack it to see what is left. "
                    f"Received: {str(path)!r}"
                ) from None
    return data


def _check_kind(data: bytes, path: Path) -> None:
    """Raise ``DataError`` for a file that is not UTF-8 text, with its kind if that is known."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            raise DataError(_pass_encoding(f"The file is {encoding.upper()}", encoding, path))
    for magic, kind in _KINDS.items():
        if data.startswith(magic):
            raise DataError(
                f"The file is {kind}, not a text: save what it says as plain text (UTF-8). "
                f"Received: {str(path)!r}"
            )
    at = data.find(b"\x00")
    if at < 0:
        return
    if data[1::2].count(0) > len(data) // 5 or data[0::2].count(0) > len(data) // 5:
        wide = "utf-16-le" if data[1::2].count(0) > data[0::2].count(0) else "utf-16-be"
        raise DataError(_pass_encoding("The file looks like UTF-16", wide, path))
    raise DataError(
        f"The file is not a text: it has a NUL byte at byte offset {at}. Received: {str(path)!r}"
    )


def _pass_encoding(problem: str, encoding: str, path: Path) -> str:
    return (
        f"{problem}; textrnn reads UTF-8. Pass read_text(Path({str(path)!r}), "
        f"encoding={encoding!r}), or --encoding {encoding} on the command line. "
        f"Received: {str(path)!r}"
    )


def _advice(data: bytes, error: UnicodeDecodeError, encoding: str | None, path: Path) -> str:
    """Return the message for bytes that are not in an encoding."""
    at = error.start + len(data) - len(error.object)  # a byte order mark was dropped
    begin = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    line = data[max(begin, at - _SHOWN) : end if end >= 0 else None][: 2 * _SHOWN]
    problem = f"The file is not {encoding or 'UTF-8'}: byte 0x{data[at]:02x} at byte offset {at}"
    guesses = sorted(_guesses(data, line, encoding), key=lambda guess: _oddness(guess[1]))
    if not guesses:
        return f"{problem}, and in none of the usual encodings. Received: {str(path)!r}"
    read = "; ".join(f"{name}: {shown!r}" for name, shown in guesses[:_MOST_GUESSES])
    return _pass_encoding(f"{problem}. That line would read in {read}", guesses[0][0], path)


def _guesses(data: bytes, line: bytes, tried: str | None) -> Iterator[tuple[str, str]]:
    """Yield likely encodings and a line decoded with them, each result once."""
    seen = set()
    for name in _GUESSES:
        try:
            data.decode(name)
            shown = line.decode(name, "replace").strip("\r")
        except UnicodeDecodeError:
            continue
        control = any(0x80 <= ord(c) < 0xA0 for c in shown)
        if name != tried and shown not in seen and not control:
            seen.add(shown)
            yield name, shown


def _oddness(text: str) -> int:
    """Return how many capitals follow a small letter: few if the encoding was guessed right."""
    pairs = pairwise(text)
    return sum(
        (a.islower() and b.isupper()) or (a.isalpha() and not b.isprintable()) for a, b in pairs
    )


def _begins_as_text(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(8192)
    if any(begin.startswith(magic) for magic in _COMPRESSED):
        return True
    return not _is_known(begin) and b"\x00" not in begin and bool(begin)


def _is_known(begin: bytes) -> bool:
    """Return whether a file begins like one that is no text in UTF-8."""
    return begin.startswith((*_KINDS, *_MARKS))


def _open(path: Path) -> IO[bytes]:
    """Open a file to read the bytes in it, decompressed."""
    with path.open("rb") as file:
        begin = file.read(8)
    for magic, (_, open_compressed) in _COMPRESSED.items():
        if begin.startswith(magic):
            return cast(IO[bytes], open_compressed(path))
    return path.open("rb")
