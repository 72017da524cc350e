"""`python -m gui` is `stream-detector gui`."""

import sys

from stream_detector.commands.app import main

if __name__ == "__main__":
    sys.argv.insert(1, "gui")
    sys.exit(main())
