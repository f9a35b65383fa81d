"""`python -m verify` is the command `flatproof`."""

import sys

from verify.cli import main

sys.exit(main())
