"""Sets are joined as connected components are, and units cut no link."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from leukoscope.cohort.groups import duplicate_groups, joined, split_units

NODES = 12
LINKS = st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), max_size=30)


@settings(max_examples=50, deadline=None)
@given(LINKS)
def test_joined_is_connected_components(links):
    sets = joined([*links, *((node, node) for node in range(NODES))])
    one, other = (np.array([link[side] for link in links], int) for side in (0, 1))
    _, component = connected_components(
        coo_matrix((np.ones(len(links)), (one, other)), (NODES, NODES)), directed=False
    )
    for a in range(NODES):
        for b in range(NODES):
            assert (sets[a] == sets[b]) == (component[a] == component[b])


def test_groups_of_people_who_share_pictures():
    owners = ["20", "21", "20", "51", "75", "78", "78", "H1", "H1"]
    pixels = ["p", "p", "q", "r", "s", "r", "s", "t", "t"]
    groups = duplicate_groups(owners, pixels)
    assert groups == ["20+21"] * 3 + ["51+75+78"] * 4 + [None] * 2


def test_known_groups_are_kept_and_grow():
    known = {"H2": "H2+H4", "H4": "H2+H4"}
    assert duplicate_groups(["H2"], ["p"], known=known) == ["H2+H4"]
    assert duplicate_groups(["H2", "H9"], ["p", "p"], known=known) == ["H2+H4+H9"] * 2
    assert duplicate_groups(["H9", "1"], ["p", "q"], known=known) == [None, None]


def test_unreadable_files_are_not_copies_of_each_other():
    assert duplicate_groups(["1", "2"], [None, None]) == [None, None]


def test_a_large_group_has_a_short_name():
    names = duplicate_groups([str(number) for number in range(50)], ["same"] * 50)
    assert set(names) == {"0+49 more"}


ROW = st.tuples(
    st.one_of(st.none(), st.sampled_from("1234")),
    st.one_of(st.none(), st.sampled_from("gh")),
    st.sampled_from("abcdefgh"),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, max_size=12), st.randoms(use_true_random=False))
def test_units_cut_no_link_and_do_not_know_the_order(rows, random):
    frame = pl.DataFrame(
        [(str(place), *row) for place, row in enumerate(rows)],
        schema=dict.fromkeys(("cell_id", "subject_id", "duplicate_group", "sha256"), pl.String),
        orient="row",
    )
    units = split_units(frame)
    for column in ("subject_id", "duplicate_group", "sha256"):
        of_value: dict[str, str] = {}
        for value, unit in zip(frame[column], units, strict=True):
            assert value is None or of_value.setdefault(value, unit) == unit
    order = random.sample(range(len(rows)), len(rows))
    assert split_units(frame[order]) == [units[place] for place in order]


def test_units_join_nobody_without_a_link():
    rows = {
        "cell_id": ["a", "b", "c"],
        "subject_id": ["1", "2", None],
        "duplicate_group": [None] * 3,
        "sha256": [""] * 3,
    }
    assert len(set(split_units(pl.DataFrame(rows, schema_overrides={"duplicate_group": pl.String})))) == 3
