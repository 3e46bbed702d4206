"""Download C-NMC 2019 from Kaggle, for users with an account there."""

from __future__ import annotations

from pathlib import Path

from leukoscope.errors import FetchError, MissingExtraError

HANDLE = "andrewmvd/leukemia-classification"
"""The public copy on Kaggle. It holds ``C-NMC_Leukemia/`` with all 15,114 files, about 10 GB on disk."""


def fetch_cnmc2019(out: Path | str) -> Path:
    """Download C-NMC 2019 (CC BY 3.0) into a new or empty folder, by Kaggle's own client library.

    A finished download is not repeated.

    Returns:
        The folder, ready to be a SOURCE. ``leukoscope data check`` tells whether it is complete.

    Raises:
        MissingExtraError: when the client library is not installed.
        FetchError: when the folder holds something else, or the download fails: no account, network or space.
    """
    try:
        import kagglehub
    except ImportError:
        raise MissingExtraError("the download from Kaggle", "fetch") from None
    try:
        kagglehub.dataset_download(HANDLE, output_dir=str(out))
    except FileExistsError:
        raise FetchError(
            f"{out}: expected a new or empty folder, or a finished download",
            hint="name another folder, or remove what an interrupted download left in this one",
        ) from None
    except Exception as error:  # the client raises its own errors, those of requests and those of the system
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FetchError(f"C-NMC 2019 was not downloaded: {reason}", hint=_HINT) from None
    return Path(out)


_HINT = (
    "check the network, and that KAGGLE_API_TOKEN holds an API token of your Kaggle account; "
    "or download the zip by hand and name it as SOURCE"
)
