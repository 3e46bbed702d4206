"""One folder a class, at whatever depth, and whose the cells are."""

import pytest

from leukoscope.cohort.layouts.folder import Folder, class_folders, find_subjects
from leukoscope.cohort.layouts.listing import Options
from leukoscope.cohort.source import open_source
from leukoscope.errors import LayoutError, UnknownClassError, UsageError


def lay_out(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return open_source(root)


@pytest.mark.parametrize("top", ["", "archive/", "archive/cells/"])
def test_classes_are_the_first_folders_that_differ(top, tmp_path):
    images = lay_out(
        tmp_path, *(f"{top}{name}" for name in ("blast/p1/1.png", "normal/p2/1.png", "unlabelled/x.png"))
    )
    listing = Folder().read(images, Options())
    assert {cell.path: cell.label for cell in listing.cells} == {
        f"{top}blast/p1/1.png": "blast",
        f"{top}normal/p2/1.png": "normal",
        f"{top}unlabelled/x.png": None,
    }
    assert [cell.cell_id for cell in listing.cells] == [cell.path for cell in listing.cells]


def test_a_single_known_class_is_not_passed_through():
    assert set(class_folders(["blast/p1/1.png", "blast/p2/2.png"], set()).values()) == {"blast"}
    assert set(class_folders(["pre-B/p1/1.png", "pre-B/p2/2.png"], {"pre-B"}).values()) == {"pre-B"}
    assert set(class_folders(["top/p1/1.png", "top/p2/2.png"], set()).values()) == {"p1", "p2"}


def test_unknown_classes_are_named(tmp_path):
    images = lay_out(tmp_path, "benign/1.png", "pre-B/2.png")
    with pytest.raises(UnknownClassError, match="found: benign, pre-B"):
        Folder().read(images, Options())
    listing = Folder().read(images, Options(positive=["pre-B"]))
    assert (listing.classes, listing.positive_classes) == (("benign", "pre-B"), ("pre-B",))
    listing = Folder().read(images, Options(rename={"benign": "normal", "pre-B": "blast"}))
    assert [cell.label for cell in listing.cells] == ["normal", "blast"]


def test_no_folders(tmp_path):
    images = lay_out(tmp_path, "1.png", "2.png")
    assert not Folder().matches(images)
    with pytest.raises(LayoutError, match="found 2 images in no folder"):
        Folder().read(images, Options())


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        (r"patient_(\w+?)_", "H3"),
        (r"(?P<x>pa)tient_(?P<subject>\w+?)_", "H3"),
        (r"patient_\w+?_", "PATIENT_H3_"),
        (r"nobody_(\d+)", None),
    ],
)
def test_subjects_by_pattern(pattern, subject):
    name = "blast/patient_h3_7.png"
    assert find_subjects([name], Options(subject_pattern=pattern)) == {name: subject}


@pytest.mark.parametrize(
    "text",
    [
        "path,subject_id\na/1.png,h3\na/2.png,4\n",
        "file,subject\n1.png, h3 \n2.png,4\n",
        "cell_id,subject_id,age\na/1.png,H3,5\na/2.png,4,6\n",
    ],
)
def test_subjects_by_csv(text, tmp_path):
    (tmp_path / "who.csv").write_text(text)
    options = Options(subjects_csv=tmp_path / "who.csv")
    assert find_subjects(["a/1.png", "a/2.png", "a/3.png"], options) == {
        "a/1.png": "H3",
        "a/2.png": "4",
        "a/3.png": None,
    }


def test_subjects_that_cannot_be_found_out(tmp_path):
    table = tmp_path / "who.csv"
    table.write_text("path,subject_id\n1.png,1\n1.png,2\n")
    with pytest.raises(LayoutError, match=r"'1.png' has two subjects: 1 and 2"):
        find_subjects(["1.png"], Options(subjects_csv=table))
    table.write_text("name,who\n1.png,1\n")
    with pytest.raises(LayoutError, match="expected a column path and a column subject_id, found name, who"):
        find_subjects(["1.png"], Options(subjects_csv=table))
    with pytest.raises(LayoutError, match="cannot be read as CSV"):
        find_subjects(["1.png"], Options(subjects_csv=tmp_path / "gone.csv"))
    with pytest.raises(UsageError, match="no regular expression"):
        find_subjects(["1.png"], Options(subject_pattern="("))
    with pytest.raises(UsageError, match="got both"):
        find_subjects(["1.png"], Options(subject_pattern="x", subjects_csv=table))
