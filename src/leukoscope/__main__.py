"""``python -m leukoscope`` is the program ``leukoscope``."""

from leukoscope.cli.main import run

if __name__ == "__main__":
    run()
