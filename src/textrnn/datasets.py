"""A few texts to try things on.

``load_*`` returns a text that is on this machine already. ``fetch_*`` downloads one, checks its
sha256 and caches it.
"""

from functools import partial
from pathlib import Path

from textrnn.text.sources import read_text

__all__ = ["fetch_tinyshakespeare", "load_human_numbers", "load_python_docs", "read_text"]


def load_python_docs() -> str:
    """Return the language reference that ships inside CPython: about 460,000 characters.

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
    r"""Return the numbers from ``first`` to ``last`` in English words, one per line.

    A toy corpus with a known structure: each line determines the next, and 9,999 lines use only
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
        size=1_115_394,
    )


def _fetch(name: str, url: str, sha256: str, size: int = 1 << 24) -> str:
    """Return a text, downloaded if it is not in the cache.

    Args:
        name: of the file in the cache.
        url: the address to download from.
        sha256: the file's checksum.
        size: the most bytes to download.
    """
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
    path = folder.fetch(name, downloader=partial(_download, size=size))
    return Path(path).read_text(encoding="utf-8-sig")


def _download(url: str, output_file: str, pooch: object, size: int) -> None:
    """Download a file for pooch, which keeps incomplete files in its own folder.

    Raises:
        OSError: it cannot be downloaded, or is longer than ``size`` bytes.
    """
    import requests  # type: ignore[import-untyped, unused-ignore]

    with requests.get(url, stream=True, timeout=30) as response, open(output_file, "wb") as file:
        response.raise_for_status()
        for chunk in response.iter_content(1 << 16):
            if file.tell() + len(chunk) > size:
                raise OSError(
                    f"The server sends more than the {size:,} bytes that this file has; try again "
                    f"later. Received: {url!r}"
                )
            file.write(chunk)
