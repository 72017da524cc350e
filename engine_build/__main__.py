"""`python -m engine_build`."""

import sys

if __name__ == "__main__":
    # Not at the top: the processes that read videos import this file too, and need no torch.
    from engine_build.cli import main

    sys.exit(main())
