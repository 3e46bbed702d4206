"""C-NMC 2019 under every name it goes by, and each trap of its naming."""

import zipfile

import pytest

from leukoscope.cohort.layouts.cnmc2019 import Cnmc2019, is_synthetic, parse_name, place, preliminary_labels
from leukoscope.cohort.layouts.listing import Options
from leukoscope.cohort.source import open_source
from leukoscope.errors import LayoutError

TRAINING = {
    "fold_0/all/UID_5_1_1_all": ("5", "blast", 0),
    "fold_1/hem/UID_H5_1_1_hem": ("H5", "normal", 1),
    "fold_2/hem/UID_h3_10_1_hem": ("H3", "normal", 2),
    "fold_2/hem/UID_H3_10_2_hem": ("H3", "normal", 2),
}
CSV = """Patient_ID,new_names,labels
UID_57_29_1_all.bmp,1.bmp,1
UID_H49_6_4_hem.bmp,2.bmp,0
UID_58_1_1_all.bmp,9.bmp,1
"""

KAGGLE = (
    "C-NMC_Leukemia/training_data",
    "C-NMC_Leukemia/validation_data/C-NMC_test_prelim_phase_data",
    "C-NMC_Leukemia/testing_data/C-NMC_test_final_phase_data",
    "C-NMC_Leukemia/validation_data",
)
TCIA = ("C-NMC_training_data", "C-NMC_test_prelim_phase_data", "C-NMC_test_final_phase_data", "")
TCIA_MIXED = (
    "C-NMC_training_data",
    "validation_data/C-NMC_test_prelim_phase_data",
    "testing_data/C-NMC_test_final_phase_data",
    "validation_data/C-NMC_test_prelim_phase_data",
)
LAYOUTS = {
    "Kaggle": KAGGLE,
    "Kaggle, inside": tuple(part.removeprefix("C-NMC_Leukemia/") for part in KAGGLE),
    "Kaggle, short": ("training_data", "validation_data", "testing_data", "validation_data"),
    "TCIA": TCIA,
    "TCIA, doubled": tuple(f"{part}/{part}" if part else "" for part in TCIA),
    "TCIA, package": tuple(f"PKG - C-NMC 2019/{part}".rstrip("/") for part in TCIA),
    "TCIA, mixed": TCIA_MIXED,
    "shouted": tuple(part.upper() for part in KAGGLE),
    "one deeper": tuple(f"my download/{part}" for part in KAGGLE),
}


def lay_out(root, parts, suffix=".bmp"):
    training, preliminary, final, table = parts
    paths = [f"{training}/{name}{suffix}" for name in TRAINING]
    paths += [f"{preliminary}/{number}{suffix}" for number in (1, 2)] + [
        f"{final}/{number}{suffix}" for number in (1, 10)
    ]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    (root / table / "C-NMC_test_prelim_phase_data_labels.csv").write_text(CSV)
    return root


def zipped(folder, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


@pytest.mark.parametrize("packed", ["folder", "zip"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_naming_reads_the_same(name, packed, tmp_path):
    root = lay_out(tmp_path / "data", LAYOUTS[name])
    images = open_source(root if packed == "folder" else zipped(root, tmp_path / "archive.zip"))
    assert Cnmc2019().matches(images)
    listing = Cnmc2019().read(images, Options())
    cells = {cell.cell_id: cell for cell in listing.cells}
    found = {path: cells[path.split("/")[-1]] for path in TRAINING}
    assert {path: (cell.subject_id, cell.label, cell.fold) for path, cell in found.items()} == TRAINING
    assert {cell.source for cell in found.values()} == {"training"}
    prelim = cells["UID_57_29_1_all"], cells["UID_H49_6_4_hem"]
    assert [(cell.subject_id, cell.label, cell.source) for cell in prelim] == [
        ("57", "blast", "preliminary"),
        ("H49", "normal", "preliminary"),
    ]
    assert [(cells[name].label, cells[name].source) for name in ("final_1", "final_10")] == [
        (None, "final")
    ] * 2
    assert len(cells) == 8
    assert (listing.classes, listing.positive_classes, listing.notes) == (("normal", "blast"), ("blast",), ())


@pytest.mark.parametrize("suffix", [".png", ".WEBP", ".tif", ".jpg"])
def test_any_image_format(suffix, tmp_path):
    listing = Cnmc2019().read(open_source(lay_out(tmp_path, KAGGLE, suffix)), Options())
    assert {cell.cell_id for cell in listing.cells} >= {"UID_57_29_1_all", "UID_5_1_1_all", "final_10"}


def test_names_keep_their_h_and_photograph():
    assert parse_name("UID_5_1_2_all.bmp").subject_id == "5"
    assert parse_name("UID_H5_1_2_hem").subject_id == "H5"
    assert parse_name("UID_h3_10_1_hem.bmp") == ("UID_h3_10_1_hem", "H3", "H3_10", "normal")
    for other in ("UID_5_1_all.bmp", "5_1_2_all.bmp", "UID_5_1_2_ALL_copy.bmp", "UID_5_1_2.bmp", "1.bmp", ""):
        assert parse_name(other) is None


def test_names_outside_their_place_are_no_cells():
    for path in (
        "UID_5_1_1_all.bmp",
        "fold_0/other/UID_5_1_1_all.bmp",
        "fold_0/all/copy of UID_5_1_1_all.bmp",
        "x/1.bmp",
    ):
        assert place(path) is None
    assert place("all/UID_5_1_1_all.bmp") == ("training", None, "blast")


def test_every_official_name_is_understood(official_manifest):
    rows = (
        official_manifest.frame.filter(source="training")
        .select("cell_id", "subject_id", "label", "fold")
        .rows()
    )
    assert len(rows) == 10_661
    for cell, subject, label, fold in rows:
        folder = "all" if label == "blast" else "hem"
        assert place(f"fold_{fold}/{folder}/{cell}.bmp") == ("training", fold, label)
        assert parse_name(cell)[1::2] == (subject, label)
    assert len({subject for _, subject, _, _ in rows}) == 73


def test_without_the_csv_the_cells_stay_unlabelled_and_that_is_said(tmp_path):
    root = lay_out(tmp_path, KAGGLE)
    next(root.rglob("*.csv")).unlink()
    listing = Cnmc2019().read(open_source(root), Options())
    assert next(cell for cell in listing.cells if cell.source == "preliminary")[:4] == (
        "preliminary_1",
        f"{KAGGLE[1]}/1.bmp",
        None,
        None,
    )
    assert any("2 preliminary cells stay unlabelled" in note for note in listing.notes)


def test_a_cell_that_the_csv_leaves_out(tmp_path):
    root = lay_out(tmp_path, KAGGLE)
    table = next(root.rglob("*.csv"))
    table.write_text("\n".join(line for line in CSV.splitlines() if ",2.bmp" not in line) + "\n")
    listing = Cnmc2019().read(open_source(root), Options())
    assert {cell.cell_id for cell in listing.cells if cell.source == "preliminary"} == {
        "UID_57_29_1_all",
        "preliminary_2",
    }
    assert any("not in the labels CSV" in note and "2.bmp" in note for note in listing.notes)
    assert listing.metadata["preliminary_listed"] == "2"


def test_the_csv_has_the_say_about_label_and_subject(tmp_path):
    root = lay_out(tmp_path, KAGGLE)
    (root / KAGGLE[3] / "C-NMC_test_prelim_phase_data_labels.csv").write_bytes(b"\xef\xbb\xbf" + CSV.encode())
    rows = preliminary_labels(open_source(root))
    assert {number: (row.name.cell_id, row.label) for number, row in rows.items()} == {
        1: ("UID_57_29_1_all", "blast"),
        2: ("UID_H49_6_4_hem", "normal"),
        9: ("UID_58_1_1_all", "blast"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected the columns"),
        ("Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,2\n", "line 2 cannot be read"),
        ("Patient_ID,new_names,labels\nnobody,1.bmp,1\n", "line 2 cannot be read"),
        (CSV + "UID_57_29_1_all.bmp,1.bmp,0\n", "labelled twice, differently"),
    ],
)
def test_a_csv_that_makes_no_sense(text, message, tmp_path):
    root = lay_out(tmp_path, KAGGLE)
    next(root.rglob("*.csv")).write_text(text)
    with pytest.raises(LayoutError, match=message):
        Cnmc2019().read(open_source(root), Options())


def test_folder_and_name_must_agree(tmp_path):
    root = lay_out(tmp_path, KAGGLE)
    folder = root / KAGGLE[0] / "fold_0"
    (folder / "hem").mkdir()
    (folder / "all/UID_5_1_1_all.bmp").rename(folder / "hem/UID_5_1_1_all.bmp")
    with pytest.raises(LayoutError, match="the folder says normal, the name says blast"):
        Cnmc2019().read(open_source(root), Options())


def test_other_images_are_left_out_and_counted(tmp_path):
    root = lay_out(tmp_path, KAGGLE)
    (root / "figure.png").write_bytes(b"")
    listing = Cnmc2019().read(open_source(root), Options())
    assert len(listing.cells) == 8
    assert any("1 image files lie outside" in note for note in listing.notes)


def test_other_cohorts_are_not_taken_for_this_one(tmp_path):
    for name in ("all/1.png", "hem/2.png", "testing_data/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    images = open_source(tmp_path)
    assert not Cnmc2019().matches(images)
    with pytest.raises(LayoutError, match="found 3 images outside them"):
        Cnmc2019().read(images, Options())


@pytest.mark.parametrize("inside", [".", "C-NMC_Leukemia", "C-NMC_Leukemia/training_data"])
def test_synthetic_cells_say_so_wherever_one_starts(inside, tmp_path):
    root = lay_out(tmp_path, KAGGLE)
    assert not is_synthetic(open_source(root / inside))
    (root / "SYNTHETIC.txt").write_text("drawn")
    images = open_source(root / inside)
    assert is_synthetic(images)
    listing = Cnmc2019().read(images, Options())
    assert listing.metadata["synthetic"] == "true"
    assert not listing.duplicate_groups
