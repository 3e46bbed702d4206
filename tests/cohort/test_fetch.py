"""The download, with the client library played by another."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from leukoscope.cohort.fetch import HANDLE, fetch_cnmc2019
from leukoscope.errors import FetchError, MissingExtraError


@pytest.fixture
def client(monkeypatch):
    """``client(error)`` puts a client library in place that writes one file, or raises."""

    def install(error=None):
        def download(handle, *, output_dir):
            assert handle == HANDLE
            if error is not None:
                raise error
            Path(output_dir).mkdir()
            Path(output_dir, "cell.bmp").write_bytes(b"x")

        monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=download))

    return install


def test_downloads_into_the_folder(client, tmp_path):
    client()
    assert fetch_cnmc2019(tmp_path / "out") == tmp_path / "out"
    assert (tmp_path / "out/cell.bmp").exists()


def test_without_an_account(client, tmp_path):
    client(PermissionError("403 Client Error.\n\nYou don't have permission"))
    with pytest.raises(FetchError, match=r"not downloaded: 403 Client Error\.$") as caught:
        fetch_cnmc2019(tmp_path)
    assert "KAGGLE_API_TOKEN" in caught.value.hint


def test_errors_without_words(client, tmp_path):
    client(TimeoutError())
    with pytest.raises(FetchError, match="not downloaded: TimeoutError"):
        fetch_cnmc2019(tmp_path)


def test_into_a_folder_that_is_not_empty(client, tmp_path):
    client(FileExistsError("output_dir is not empty"))
    with pytest.raises(FetchError, match="expected a new or empty folder"):
        fetch_cnmc2019(tmp_path)


def test_an_interrupt_passes(client, tmp_path):
    client(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        fetch_cnmc2019(tmp_path)


def test_without_the_client_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(MissingExtraError) as caught:
        fetch_cnmc2019(tmp_path)
    assert caught.value.hint == 'install it with: pip install "leukoscope[fetch]"'
