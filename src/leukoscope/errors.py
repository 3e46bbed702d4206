"""Every error that Leukoscope raises on purpose.

::

    LeukoscopeError
    ├── UsageError              a command or a call with arguments that do not fit together
    ├── ConfigError             a recipe or setting with an unknown key or an impossible value
    ├── MissingExtraError       a part that needs an optional installation
    ├── ImageError              one image file (has ``path``)
    │   ├── ImageNotFoundError  no such file
    │   ├── EmptyImageError     zero bytes
    │   ├── ImageFormatError    not an image, or not one of the formats read here
    │   ├── TruncatedImageError ends before its pixels do, or is damaged
    │   └── ImageTooLargeError  more bytes or pixels than the limits allow
    ├── CohortError             many cells and whose they are
    │   ├── LayoutError         a source in no known layout
    │   ├── DuplicateCellError  one cell_id for two files
    │   ├── UnknownClassError   class names without a known meaning
    │   ├── ManifestError       a manifest or split that is not one
    │   ├── SplitError          a split that cannot be made
    │   ├── SubjectLeakError    somebody is on both sides
    │   └── FetchError          a download that did not happen
    ├── TableError              a prediction table that cannot be judged
    ├── BundleError             a model file
    │   ├── BundleIntegrityError  a file in it is missing or altered
    │   └── BundleVersionError    written by a newer Leukoscope
    └── TrainingError           a run that cannot start, go on or be believed
        └── TrainingInterruptedError  stopped by the user before there was a model

A message says what was expected and what came; ``hint`` says what to do next. The command line prints the two
as ``error: …`` and ``hint: …`` and exits with 2.
"""

from __future__ import annotations

from pathlib import Path


class LeukoscopeWarning(UserWarning):
    """Something a reader of the result should know, though the work goes on."""


class LeukoscopeError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what was expected and what came, in one line.
        hint: what to do next, in one line; empty where there is nothing to add.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LeukoscopeError):
    """Arguments that do not fit together."""


class ConfigError(LeukoscopeError):
    """A recipe or setting with an unknown key or an impossible value."""


class MissingExtraError(LeukoscopeError):
    """A part that needs an optional installation.

    >>> raise MissingExtraError("training", "train")
    Traceback (most recent call last):
        ...
    leukoscope.errors.MissingExtraError: training needs the extra 'train', which is not installed
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra '{extra}', which is not installed",
            hint=f'install it with: pip install "leukoscope[{extra}]"',
        )
        self.extra = extra


class ImageError(LeukoscopeError):
    """One image file that cannot be used. ``path`` names it; ``reason`` is the message without the path."""

    def __init__(self, path: Path | str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {reason}", hint=hint)
        self.path = Path(path)
        self.reason = reason


class ImageNotFoundError(ImageError):
    """No such file."""


class EmptyImageError(ImageError):
    """A file of zero bytes."""


class ImageFormatError(ImageError):
    """Not an image, or not one of the formats read here."""


class TruncatedImageError(ImageError):
    """A file that ends before its pixels do, or is damaged."""


class ImageTooLargeError(ImageError):
    """More bytes or pixels than the limits allow."""


class CohortError(LeukoscopeError):
    """Something about many cells and whose they are."""


class LayoutError(CohortError):
    """A source in no known layout."""


class DuplicateCellError(CohortError):
    """One ``cell_id`` for two files."""


class UnknownClassError(CohortError):
    """Class names without a known meaning."""


class ManifestError(CohortError):
    """A manifest or split that is not one."""


class SplitError(CohortError):
    """A split that cannot be made from these subjects."""


class SubjectLeakError(CohortError):
    """Somebody is on both sides of a split."""


class FetchError(CohortError):
    """A download that did not happen."""


class TableError(LeukoscopeError):
    """A prediction table that cannot be judged."""


class BundleError(LeukoscopeError):
    """A model file that cannot be used."""


class BundleIntegrityError(BundleError):
    """A file of a bundle is missing, altered or unlisted."""


class BundleVersionError(BundleError):
    """A bundle written by a newer Leukoscope."""


class TrainingError(LeukoscopeError):
    """A run that cannot start, cannot go on or cannot be believed."""


class TrainingInterruptedError(TrainingError):
    """A run that the user stopped before there was a model; the command line exits with 130."""
