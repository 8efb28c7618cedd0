"""Where text comes from: what a user hands over, and a few texts that are at hand.

``load_*`` gives a text that is on this machine already. ``fetch_*`` downloads one, checks its
sha256 and keeps it in a cache.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from textrnn.errors import DataError, check_number

Text = str | Path | Iterable[str | Path]
"""What ``fit`` and ``evaluate`` take: a text, a file, or documents."""

Tokens = TypeVar("Tokens", str, NDArray[Any])

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_BOM = b"\xef\xbb\xbf"


def read_text(text: Text) -> str:
    r"""Give the text that a user means, as one string.

    Args:
        text: a ``str`` is the text itself; a ``Path`` is a UTF-8 file; a list (or any other
            iterable) holds documents, each a ``str`` or a ``Path``, which are joined by a line
            break. Nothing is normalised: ``"\r\n"`` stays as it is, only a byte order mark at
            the start of a file is dropped.

    Returns:
        The text, at least one character long.

    Raises:
        DataError: the text is empty, the file is not UTF-8 (with the offset of the first bad
            byte), or a ``str`` is the name of an existing file.
        TypeError: ``text`` is none of these, ``bytes`` for instance.
        OSError: the file cannot be read.

    >>> read_text(["first document", "second"])
    'first document\nsecond'
    """
    if isinstance(text, bytes | bytearray):
        raise TypeError(
            "`text` must be str, a Path or a list of documents; decode bytes first: "
            f"text.decode('utf-8'). Received: {type(text).__name__} of length {len(text)}"
        )
    if isinstance(text, str):
        if _names_a_file(text):
            raise DataError(
                "`text` is the text itself, but this one is the name of a file. "
                f"To read the file, pass Path({text!r}). Received: {text!r}"
            )
        result = text
    elif isinstance(text, Path):
        result = _read_file(text)
    elif isinstance(text, Iterable):
        result = "\n".join(_read_document(document, i) for i, document in enumerate(text))
    else:
        raise TypeError(
            "`text` must be str, a Path or a list of documents. "
            f"Received: {type(text).__name__} {text!r:.60}"
        )
    if not result:
        raise DataError(f"The text is empty. Received: {text!r:.300}")
    return result


def split(
    tokens: Tokens, validation_split: float, validation: Tokens | None = None
) -> tuple[Tokens, Tokens]:
    """Split a text for training and validation: the validation text is the end of it.

    Args:
        tokens: a whole text: a ``str`` or an array of ids.
        validation_split: the part kept for validation, in [0, 1); 0 for none.
        validation: a text for validation instead; then all of ``tokens`` is for training.

    Returns:
        The two parts; the second is empty if there is no validation.

    Raises:
        DataError: one of them would have fewer than two tokens.

    >>> split("abcdefghij", 0.2)
    ('abcdefgh', 'ij')
    """
    check_number("validation_split", validation_split, "in [0, 1)", lambda v: 0 <= v < 1)
    cut = int(len(tokens) * (1 - validation_split) + 1e-9)  # 10 * (1 - 0.8) is 1.99...
    train, valid = (tokens[:cut], tokens[cut:]) if validation is None else (tokens, validation)
    wanted = validation_split > 0 or validation is not None
    if len(train) < 2 or (wanted and len(valid) < 2):
        n, choice = len(tokens), ""
        if validation is None and n >= 4:
            choice = f" from {2 / n:.3g} to {math.floor(1000 * (1 - 2 / n)) / 1000}"
        raise DataError(
            "Training and validation need at least 2 tokens each; choose another "
            f"`validation_split`{choice} (0 is none), or a longer text. "
            f"Received: {len(train)} tokens for training, {len(valid)} for validation"
        )
    return train, valid


def _read_document(document: object, index: int) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, Path):
        return _read_file(document)
    raise TypeError(
        f"`text[{index}]` must be a document: str or Path. "
        f"Received: {type(document).__name__} {document!r:.60}"
    )


def _names_a_file(text: str) -> bool:
    if len(text) >= 260 or "\n" in text:
        return False
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # not a possible name on this system
        return False


def _read_file(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(_UTF16):
        raise DataError(
            "The file looks like UTF-16; textrnn reads UTF-8. Convert it first, or pass "
            f"Path.read_text(encoding='utf-16'). Received: {str(path)!r}"
        )
    try:
        return data.removeprefix(_UTF8_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        bom = len(_UTF8_BOM) if data.startswith(_UTF8_BOM) else 0
        raise DataError(
            f"The file is not UTF-8: byte 0x{error.object[error.start]:02x} at byte offset "
            f"{error.start + bom}. If you know its encoding, pass "
            f"Path.read_text(encoding='latin-1') or the like. Received: {str(path)!r}"
        ) from None


def load_python_docs() -> str:
    """Give the language reference that ships inside CPython: about 460,000 characters.

    It is English prose with code, on every machine that has Python; its exact size depends on
    the Python version. ``textrnn demo`` trains on it.

    >>> "statement" in load_python_docs()
    True
    """
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


_SMALL = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen""".split()  # noqa: SIM905
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905


def _spell(number: int) -> str:
    if number < 20:
        return _SMALL[number - 1]
    if number < 100:
        rest = f" {_spell(number % 10)}" if number % 10 else ""
        return _TENS[number // 10 - 2] + rest
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = f" {_spell(number % unit)}" if number % unit else ""
    return f"{_spell(number // unit)} {name}{rest}"


def load_human_numbers(first: int = 1, last: int = 9999) -> str:
    r"""Write the numbers from ``first`` to ``last`` in English words, one a line.

    A toy corpus with a crisp truth: what follows a line is certain, and 9,999 lines hold only
    29 different words.

    >>> load_human_numbers(19, 21)
    'nineteen\ntwenty\ntwenty one'
    """
    if not 1 <= first <= last <= 9999:
        raise ValueError(
            "`first` and `last` must satisfy 1 <= first <= last <= 9999. "
            f"Received: first={first!r}, last={last!r}"
        )
    return "\n".join(_spell(number) for number in range(first, last + 1))


def fetch_tinyshakespeare() -> str:
    """Download the 1,115,394 characters of Shakespeare that char-rnn made the field's yardstick.

    Source: Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015).
    The file is checked against its sha256 and cached (in ``TEXTRNN_DATA_DIR``, or in the
    system's cache folder), so a second call needs no network.

    Raises:
        ImportError: pooch is missing; ``pip install "textrnn[datasets]"``.
        OSError: the file could not be downloaded.
    """
    return _fetch(
        "tinyshakespeare.txt",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    )


def _fetch(name: str, url: str, sha256: str) -> str:
    try:
        import pooch  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise ImportError(
            'Downloading data sets needs pooch: pip install "textrnn[datasets]"'
        ) from None
    folder = pooch.create(
        pooch.os_cache("textrnn"),
        base_url="",
        registry={name: f"sha256:{sha256}"},
        urls={name: url},
        env="TEXTRNN_DATA_DIR",
    )
    return _read_file(Path(folder.fetch(name)))
