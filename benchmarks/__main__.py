"""The command line of the benchmarks."""

import sys

from benchmarks.app import main

if __name__ == "__main__":
    sys.exit(main())
