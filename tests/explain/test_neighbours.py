"""The nearest training cells: which they are, whose, and who may know."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import polars as pl
import pytest
from scipy.spatial.distance import cdist

from leukoscope.bundle.read import open_bundle
from leukoscope.core.files import sha256_bytes
from leukoscope.explain.neighbours import NOT_NAMED, Neighbours


@pytest.fixture
def training_cells(tmp_path):
    """Three files and what a bundle says of them."""
    names = ("one.png", "two.png", "three.png")
    for number, name in enumerate(names):
        image = np.zeros((450, 450, 3), np.uint8)
        cv2.circle(image, (225, 225), 60 + 20 * number, (160, 60, 120), -1)
        cv2.imwrite(str(tmp_path / name), image)
    hashes = [sha256_bytes((tmp_path / name).read_bytes()) for name in names]
    rows = {
        "sha256": hashes,
        "subject_id": ["SECRET7", "SECRET7", "H2"],
        "label": ["blast", "blast", "normal"],
    }
    return names, pl.DataFrame(rows)


def embeddings(num=5):
    return np.random.default_rng(1).normal(size=(num, 3))


def data_of(folder, names, hashes):
    return SimpleNamespace(root=folder, frame=pl.DataFrame({"path": names, "sha256": hashes}))


def test_they_are_those_of_a_plain_search(with_graph, graph_of, tmp_path, training_cells):
    path = with_graph(tmp_path / "b.leuko", graph_of(), references=training_cells[1])
    bundle = open_bundle(path)
    found = Neighbours(bundle).nearest(embeddings(), [None] * 5, num=2)
    distances = cdist(embeddings(), bundle.novelty) / np.sqrt(3)
    for row, near in zip(distances, found, strict=True):
        places = np.argsort(row)[:2]
        np.testing.assert_allclose([one.distance for one in near], row[places], rtol=1e-3)
        assert [(one.sha256, one.subject_id, one.label) for one in near] == [
            training_cells[1].row(int(place)) for place in places
        ]
        assert not any(one.itself for one in near)


def test_an_old_bundle_shows_distances_and_says_what_it_lacks(spot_bundle):
    neighbours = Neighbours(open_bundle(spot_bundle))
    found = neighbours.nearest(embeddings(2), [None] * 2)
    assert neighbours.note == NOT_NAMED and neighbours.num == 3
    assert all(one.label is one.subject_id is one.sha256 is None for near in found for one in near)
    assert all(one.distance > 0 for near in found for one in near)


def test_a_bundle_without_references_shows_none(with_graph, graph_of, tmp_path):
    path = with_graph(tmp_path / "b.leuko", graph_of(), embeddings=None, novelty=None)
    neighbours = Neighbours(open_bundle(path))
    assert neighbours.nearest(embeddings(2), [None] * 2) == [(), ()]
    assert "keeps no reference" in neighbours.note


@pytest.mark.parametrize("private", [False, True])
def test_a_training_cell_finds_itself_and_its_picture(
    with_graph, graph_of, tmp_path, training_cells, private
):
    names, cells = training_cells
    path = with_graph(tmp_path / "b.leuko", graph_of(), references=cells, private=private)
    bundle = open_bundle(path)
    hashes = cells["sha256"].to_list()
    data = data_of(tmp_path, names[:2], hashes[:2])
    neighbours = Neighbours(bundle, data)
    near = neighbours.nearest(bundle.novelty[:1], hashes[:1])[0]
    assert near[0].itself and near[0].distance < 1e-3 and not near[1].itself
    assert near[0].label == "blast"
    shown = neighbours.pictures(near)
    assert [picture.uri is not None for picture in shown] == [one.label == "blast" for one in near]
    assert [picture.reason for picture in shown if picture.uri is None] == ["not among the cells of --data"]
    text = "".join(one.model_dump_json() for one in near) + (path / "bundle.json").read_text()
    assert ("SECRET7" in text) is not private
    assert (hashes[0] in text) is not private


def test_without_the_users_cells_there_are_no_pictures(spot_bundle):
    neighbours = Neighbours(open_bundle(spot_bundle))
    near = neighbours.nearest(embeddings(1), [None])[0]
    assert [picture.uri for picture in neighbours.pictures(near)] == [None] * 3
