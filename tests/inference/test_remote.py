"""Images at addresses: the same rows as from a folder, and errors that are rows."""

from __future__ import annotations

import pickle
import shutil
import sys
import zipfile

import pytest
from polars.testing import assert_frame_equal

from leukoscope.errors import MissingExtraError, UsageError
from leukoscope.inference import remote
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predict import predict

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def folder(tmp_path, tiny_cohort):
    """Four good cells, in two folders; an empty file, a hidden one, one that is no image."""
    root = tmp_path / "cells"
    (root / "fold 2").mkdir(parents=True)
    for number, image in enumerate(sorted(tiny_cohort.rglob("*.bmp"))[:4], start=8):
        shutil.copy(image, root / ("fold 2" if number % 2 else ".") / f"cell_{number}.bmp")
    (root / "empty.bmp").touch()
    (root / ".hidden.bmp").write_bytes(b"BM")
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def memory(folder):
    """The same files in the memory of this process."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"/cells/{path.relative_to(folder).as_posix()}", path.read_bytes())
    yield "memory://cells"
    system.store.clear()


def zipped(folder):
    with zipfile.ZipFile(folder.parent / "cells.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    return folder.parent / "cells.zip"


def rows_of(bundle, inputs):
    return predict(bundle, inputs).table.frame


def test_an_address_gives_the_rows_of_the_folder(tiny_bundle, folder, memory):
    expected = rows_of(tiny_bundle, folder)
    assert expected["path"].to_list() == [
        "cell_8.bmp",
        "cell_10.bmp",
        "empty.bmp",
        "fold 2/cell_9.bmp",
        "fold 2/cell_11.bmp",
    ]
    archive = zipped(folder)
    for address in (memory, folder.as_uri().replace("%20", " "), f"zip://::{archive}", f"file://{archive}"):
        assert_frame_equal(rows_of(tiny_bundle, address), expected)
        assert resolve(address).count() == expected.height


def test_a_file_and_a_pattern(tiny_bundle, folder, memory):
    one = rows_of(tiny_bundle, f"{memory}/cell_8.bmp")
    assert one["cell_id"].to_list() == ["cell_8.bmp"] and one["error"].to_list() == [None]
    some = rows_of(tiny_bundle, f"{memory}/**/cell_*.bmp")
    assert some["path"].to_list() == ["cell_8.bmp", "cell_10.bmp", "fold 2/cell_9.bmp", "fold 2/cell_11.bmp"]
    both = rows_of(tiny_bundle, [f"{memory}/cell_8.bmp", f"{memory}/cell_8.bmp"])
    assert both["cell_id"].n_unique() == 2
    assert both["path"].to_list() == ["memory:///cells/cell_8.bmp"] * 2
    named = resolve(f"{memory}/cell_8.bmp")
    assert named.metadata["root"] == "memory:///cells"


def test_what_goes_wrong_at_an_address_is_a_row(tiny_bundle, folder, memory, monkeypatch):
    gone = rows_of(tiny_bundle, f"{memory}/nowhere.bmp")
    assert gone["error"].to_list() == ["no such file"] and gone["decision"].to_list() == ["indeterminate"]

    def refused(*_args, **_more):
        raise RuntimeError("the key has expired\nand more")  # file systems raise what they like

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", refused)
    rows = rows_of(tiny_bundle, memory)
    assert rows["error"].to_list() == ["cannot be read: the key has expired"] * 5


def test_a_file_that_is_too_large_is_not_read_to_its_end(tiny_bundle, memory, monkeypatch):
    monkeypatch.setattr(remote, "_MAX_BYTES", 1000)
    rows = rows_of(tiny_bundle, memory)
    assert rows["error"].to_list()[0] == "more than 1,000 bytes, which is the limit"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://cells/nowhere", "no such file or folder"),
        ("memory://cells/*.png", "holds no image"),
        ("nonsense://cells", "cannot be opened: Protocol not known"),
        ("memory://cells/none.parquet", "cannot be read as Parquet"),
    ],
)
def test_addresses_that_lead_nowhere(memory, address, message):
    with pytest.raises(UsageError, match=message):
        resolve(address)


def test_without_fsspec_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match="memory://cells needs the extra 'scale'"):
        resolve("memory://cells")


def test_cells_in_memory_take_their_bytes_along(memory):
    cells = list(resolve([memory, f"{memory}/nowhere.bmp"]))
    expected = [cell.read() for cell in cells[:-1]]
    sent = pickle.dumps(cells)
    fsspec.filesystem("memory").store.clear()  # as in another process
    arrived = pickle.loads(sent)
    assert [cell.read() for cell in arrived[:-1]] == expected
    with pytest.raises(remote.ImageNotFoundError):
        arrived[-1].read()
