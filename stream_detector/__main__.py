"""`python -m stream_detector` is `stream-detector`."""

import sys

from stream_detector.commands.app import main

if __name__ == "__main__":
    sys.exit(main())
