"""A process that takes part in the fit of the one that started it.

Which fit, it reads from standard input. It writes no file; its last line on standard error says why it ended.
"""

from __future__ import annotations

import pickle
import sys
import traceback


def main() -> int:
    """Take part; 0 when it went to its end, 1 when something was wrong."""
    from leukoscope.training.fit import take_part

    try:
        job, number = pickle.load(sys.stdin.buffer)
        take_part(job, number)
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
