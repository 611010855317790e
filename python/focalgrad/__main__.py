"""``python -m focalgrad`` is the command ``focalgrad``."""

import sys

from focalgrad._cli import main

if __name__ == "__main__":
    sys.exit(main())
