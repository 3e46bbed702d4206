"""The cache of cells: made once, verified, never stale."""

import json

import numpy as np
import pytest

from leukoscope.cells.decode import decode
from leukoscope.cells.preprocess import Preprocess
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.errors import TrainingError
from leukoscope.training import cache
from leukoscope.training.cache import cached_cells

SMALL = Preprocess(field=384, size=32)


@pytest.fixture(scope="module")
def manifest(tiny_cohort) -> Manifest:
    whole = open_cohort(tiny_cohort)
    return whole.with_frame(whole.frame.head(12))


def test_holds_what_preprocessing_each_file_gives(manifest, tmp_path):
    cells = cached_cells(manifest, SMALL, folder=tmp_path)
    assert cells.dtype == np.uint8 and cells.shape == (12, 32, 32, 3)
    for cell, path in zip(cells, manifest.frame["path"], strict=True):
        assert np.array_equal(cell, SMALL.apply(decode(manifest.root / path)))


def test_is_made_once_and_shared(manifest, tmp_path, monkeypatch):
    first = cached_cells(manifest, SMALL, folder=tmp_path)
    monkeypatch.setattr(cache, "decode", lambda *_, **__: pytest.fail("decoded again"))
    assert np.array_equal(cached_cells(manifest, SMALL, folder=tmp_path), first)


def test_a_damaged_cache_is_made_again(manifest, tmp_path):
    good = np.array(cached_cells(manifest, SMALL, folder=tmp_path))
    path = next(tmp_path.rglob("*.npy"))
    data = bytearray(path.read_bytes())
    data[-5] ^= 0xFF
    path.write_bytes(bytes(data))
    assert np.array_equal(cached_cells(manifest, SMALL, folder=tmp_path), good)


def test_another_preprocessing_has_a_cache_of_its_own(manifest, tmp_path):
    cached_cells(manifest, SMALL, folder=tmp_path)
    assert cached_cells(manifest, Preprocess(field=384, size=16), folder=tmp_path).shape[1] == 16
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_a_file_changed_since_it_was_indexed_is_refused(manifest, tmp_path):
    other = manifest.frame.with_columns(sha256=manifest.frame["sha256"].reverse())
    with pytest.raises(TrainingError, match="not the file that was indexed"):
        cached_cells(manifest.with_frame(other), SMALL, folder=tmp_path)
    assert not list(tmp_path.rglob("*.npy")), "an unfinished cache must not stay"


def test_the_record_names_every_source(manifest, tmp_path):
    cached_cells(manifest, SMALL, folder=tmp_path)
    record = json.loads(next(tmp_path.rglob("*.json")).read_text())
    assert record["sources"] == manifest.frame["sha256"].to_list()
