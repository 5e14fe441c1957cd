"""`python -m sandbox.cli` is `sandbox`."""

import sys

from sandbox.cli import main

sys.exit(main())
