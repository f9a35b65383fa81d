"""`python -m verify` is the command `flatproof`."""

import sys

from verify.cli.main import main

sys.exit(main())
