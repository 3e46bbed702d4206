"""What a body is: its nucleus, and whether it is a single white cell at all."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.segmentation.settings import StainSettings
from leukoscope.cells.segmentation.shapes import Bits, disc, opened, parts, solidity

_SCARCE = 20  # pixels of cytoplasm, below which nothing is said of it


class Body(NamedTuple):
    """One body in its box, at the working scale.

    Attributes:
        mask: the body.
        seeds: pieces of nucleus in it, and dark cytoplasm.
        blue: of the blue dye, float32.
        red: of what red cells absorb, float32.
        density: optical density, float32 ``(h, w, 3)``.
    """

    mask: Bits
    seeds: Bits
    blue: NDArray[np.float32]
    red: NDArray[np.float32]
    density: NDArray[np.float32]


class Facts(NamedTuple):
    """What is measured of a body; areas in square micrometres.

    Attributes:
        area: of the body.
        stained: of its seeds.
        solidity: of the body, 0 to 1.
        lobes: areas of the pieces of the nucleus, free or joined by a thin bridge, the largest first.
        granules: eosin in the cytoplasm, as a share of the blue dye in the seeds; 0 where there is too little
            cytoplasm to say.
        colour: mean optical density of the nucleus in red and in blue, as shares of that in green.
    """

    area: float
    stained: float
    solidity: float
    lobes: tuple[float, ...]
    granules: float
    colour: tuple[float, float]


def judge(body: Body, settings: StainSettings) -> tuple[Bits, set[str]]:
    """The nucleus of a body, and its flags but ``edge`` and ``touching``, which its surroundings decide."""
    nucleus = find_nucleus(body)
    unit = settings.working_scale**2
    facts = Facts(
        area=cv2.countNonZero(body.mask) * unit,
        stained=cv2.countNonZero(body.seeds) * unit,
        solidity=solidity(body.mask),
        lobes=find_lobes(nucleus, settings),
        granules=_granules(body, nucleus),
        colour=_colour(body, nucleus),
    )
    return nucleus, flags_of(facts, settings)


def flags_of(facts: Facts, settings: StainSettings) -> set[str]:
    """What these facts say; see :data:`~leukoscope.cells.segmentation.found.FLAGS`."""
    if facts.area < settings.cell_area or facts.stained < settings.nucleus_area:
        return {"debris"}
    if not _is_stained_as_blood_is(facts, settings):
        return {"debris"}
    if max(facts.lobes, default=0.0) < settings.platelet_area:
        return {"platelets"}
    flags = {"granular"} if facts.granules > settings.granular else set()
    if len(facts.lobes) > 1:
        flags.add("lobed")
    if not flags & {"granular"} and _is_smudge(facts, settings):
        flags.add("smudge")
    elif facts.area > settings.doublet_area or facts.solidity < settings.doublet_solidity:
        flags.add("doublet")
    return flags


def _is_stained_as_blood_is(facts: Facts, settings: StainSettings) -> bool:
    """Azure and eosin absorb green more than blue, and not much less than red: what is green, turquoise,
    yellow or orange is no nucleus."""
    red, blue = facts.colour
    return settings.least_red <= red <= settings.most_red and blue <= settings.most_blue


def _is_smudge(facts: Facts, settings: StainSettings) -> bool:
    """A large body, stained nearly all over, without a smooth outline; the larger, the smoother it may be."""
    share, spread = facts.stained / facts.area, settings.spread_area
    ragged = share > settings.smudge_stained and facts.solidity < settings.smudge_solidity
    bare = share > settings.spread_stained and facts.solidity < settings.spread_solidity
    return (ragged and facts.area > settings.smudge_area) or (bare and facts.area > spread)


def _colour(body: Body, nucleus: Bits) -> tuple[float, float]:
    where = nucleus if nucleus.any() else body.mask
    red, green, blue = body.density[where > 0].mean(axis=0).tolist()
    return red / max(green, 1e-3), blue / max(green, 1e-3)


def find_nucleus(body: Body) -> Bits:
    """The darker of the two kinds of seeds: Otsu's threshold between nucleus and dark cytoplasm."""
    inside = body.seeds > 0
    values = body.blue[inside]
    if not len(values):
        return body.seeds
    levels = np.clip(values * (255 / np.quantile(values, 0.99)), 0, 255).astype(np.uint8)
    level = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]
    dark = levels > level
    # one nucleus alone has no second kind: its palest and darkest chromatin differ less
    if dark.all() or not dark.any() or values[~dark].mean() > 0.5 * values[dark].mean():
        return body.seeds
    nucleus = np.zeros_like(body.seeds)
    nucleus[inside] = dark
    return nucleus


def find_lobes(nucleus: Bits, settings: StainSettings) -> tuple[float, ...]:
    """Areas of the pieces of a nucleus, free or joined by a thin bridge, in square micrometres."""
    scale = settings.working_scale
    num, labels = cv2.connectedComponents(opened(nucleus, 0.4 / scale), connectivity=4)
    areas: list[float] = []
    for label in range(1, num):
        piece = (labels == label).astype(np.uint8)
        if solidity(piece) < 0.9:
            count, inner = parts(piece, neck=settings.lobe_neck, min_radius=0.9 / scale)
            areas += [scale**2 * int(np.count_nonzero(inner == one)) for one in range(1, count + 1)]
        else:
            areas.append(scale**2 * cv2.countNonZero(piece))
    least = max(settings.lobe_area, settings.lobe_share * sum(areas))
    return tuple(sorted((area for area in areas if area >= least), reverse=True))


def _granules(body: Body, nucleus: Bits) -> float:
    """What red cells absorb, two pixels off nucleus and outline, as a share of the blue dye of the seeds.

    What the seeds themselves hold of it is taken off.
    """
    framed = cv2.copyMakeBorder(body.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(framed, disc(2))[1:-1, 1:-1]
    cytoplasm = (inner > 0) & (cv2.dilate(nucleus, disc(2)) == 0)
    if np.count_nonzero(cytoplasm) < _SCARCE or not body.seeds.any():
        return 0.0
    seeds = body.seeds > 0
    purple = max(float(np.median(body.red[seeds])), 0.0)  # of the nucleus itself, in some stains
    blue = max(float(np.median(body.blue[seeds])), 1e-3)
    return (float(body.red[cytoplasm].mean()) - purple) / blue
