"""docs/fill.py: pages show what their blocks print."""

import subprocess
import sys
from pathlib import Path

import pytest

FILL = Path(__file__).parents[1] / "docs" / "fill.py"
PAGE = """# Page

```python
x = 2
print(x * 21, "in 0.25 s")
```

```text
{python}
```

```python
x += 1
```

```console
$ echo "in a file of $((40 + 2))" > file
$ cat file; echo to standard error >&2
{console}
```

```console
not run
```
"""


def fill(page, *options):
    """Return the exit status, and the page afterwards."""
    done = subprocess.run(
        [sys.executable, str(FILL), *options, str(page)], capture_output=True, text=True
    )
    return done.returncode, page.read_text(), done.stdout + done.stderr


@pytest.mark.slow
def test_a_page_shows_what_its_blocks_print(tmp_path):
    """Python and console blocks are filled; a check finds what is stale, measurements aside."""
    page = tmp_path / "page.md"
    page.write_text(PAGE.format(python="41 in 9 s", console="stale"))
    status, text, said = fill(page, "--check")
    assert (status, text) == (1, page.read_text())
    assert "-41 in … s\n+42 in … s\n" in said
    true = PAGE.format(python="42 in 0.25 s", console="in a file of 42\nto standard error")
    assert fill(page)[:2] == (0, true)
    page.write_text(true.replace("0.25", "3,999.5"))
    assert fill(page, "--check")[0] == 0
    page.write_text(true.replace("42\nto", "42\nTo"))
    assert fill(page, "--check")[0] == 1


@pytest.mark.slow
def test_a_command_that_does_not_exist_is_an_error(tmp_path):
    """A misspelled command is not an output of its page."""
    page = tmp_path / "page.md"
    page.write_text("```console\n$ textrn info\n```\n")
    status, _, said = fill(page)
    assert status == 1
    assert "There is no such command: $ textrn info" in said
