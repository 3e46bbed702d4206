"""Class names: known ones, the user's ones, and those nobody can know."""

import pytest

from leukoscope.cohort.classes import Classes
from leukoscope.errors import UnknownClassError


@pytest.mark.parametrize(
    "found", [["all", "hem"], ["ALL", "HEM"], ["blast", "normal"], ["Blast", "hem"], ["hem"], []]
)
def test_known_names_need_no_telling(found):
    kinds = Classes(found)
    assert (kinds.names, kinds.positive) == (("normal", "blast"), ("blast",))
    for name in found:
        assert kinds.label(name) == ("blast" if name.lower() in {"all", "blast"} else "normal")


def test_subtypes_come_behind_the_negative_ones():
    kinds = Classes(["pro-B", "benign", "early-pre-B", "pre-B"], positive=["pro-B", "pre-B", "early-pre-B"])
    assert kinds.names == ("benign", "early-pre-B", "pre-B", "pro-B")
    assert kinds.positive == ("early-pre-B", "pre-B", "pro-B")


def test_renaming():
    kinds = Classes(["leukaemia", "healthy"], rename={"leukaemia": "blast", "healthy": "normal"})
    assert kinds.label("leukaemia") == "blast"
    kinds = Classes(["a", "b", "c"], rename={"a": "b"}, positive=["b"])
    assert (kinds.names, kinds.label("a")) == (("c", "b"), "b")


@pytest.mark.parametrize(
    ("found", "options", "message", "hint"),
    [
        (["benign", "pre-B"], {}, "found: benign, pre-B", "--positive pre-B"),
        (["all", "other"], {}, "found: all, other", "--positive"),
        (
            ["benign", "pre-B"],
            {"positive": ["preB"]},
            "--positive preB: no such class",
            "did you mean 'pre-B'",
        ),
        (["benign", "pre-B"], {"rename": {"bening": "normal"}}, "--rename bening", "did you mean 'benign'"),
        (["ALL", "all", "hem"], {}, "differ only in case: 'ALL' and 'all'", "--rename all=ALL"),
    ],
)
def test_unknown_names_are_refused_with_what_was_found(found, options, message, hint):
    with pytest.raises(UnknownClassError) as caught:
        Classes(found, **options)
    assert message in caught.value.message
    assert hint in caught.value.hint
