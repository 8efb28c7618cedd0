"""``python -m textrnn`` is ``textrnn``."""

import sys

from textrnn.cli import main

sys.exit(main())
