"""Every number of the stain segmenter, in micrometres and optical density, so that it fits any photograph."""

from __future__ import annotations

from pydantic import Field

from leukoscope.core.config import Config


class StainSettings(Config):
    """Chosen on the first half of BCCD's fields by name (``docs/smears.md``).

    Densities are of photographs as dark as BCCD's and grow with the darkness of the red cells.

    Attributes:
        working_scale: micrometres per pixel at which cells are looked for.
        blur: deviation of the filter on the density, micrometres.
        stained: blue dye from here on belongs to a nucleus or to dark cytoplasm.
        peak: blue dye that a nucleus reaches on a tenth of its area.
        seed_radius: what is narrower is no nucleus but the rim of something.
        seed_area: of a piece of nucleus, square micrometres.
        pale: density in green from here on is no empty background.
        bluish: blue dye from here on is no empty background.
        red: density of red cells from here on is a red cell, if it outweighs the blue dye by ``red_share``.
        red_share: see ``red``.
        reach: of cytoplasm around a nucleus, micrometres.
        fall: where a body ends, as a share of the density just inside of it.
        edge: where it ends on the photograph's own pixels, as a share of the density inside near by.
        paler: a red part of a body that is paler than this share of its rim is a red cell beside it.
        smooth: radius by which the outline is smoothed, micrometres.
        neck: of two touching cells, as a share of the radius of the smaller one.
        convex: solidity from which on a body is not cut.
        part_radius: of the smaller of two touching cells, micrometres.
        nucleus_area: of a white cell, square micrometres; less is debris.
        cell_area: of a white cell, square micrometres; less is debris.
        doublet_area: of a single cell at most, square micrometres.
        doublet_solidity: of a single cell at least.
        smudge_area: of a smudge cell at least, square micrometres.
        smudge_stained: of its area, how much is as blue as a nucleus.
        smudge_solidity: at most.
        spread_area: the same three of a larger smudge cell, which may be smoother.
        spread_stained: see ``spread_area``.
        spread_solidity: see ``spread_area``.
        platelet_area: of the largest piece of nucleus; less is a clump of platelets, square micrometres.
        least_red: density of a nucleus in red at least, as a share of that in green.
        most_red: at most.
        most_blue: in blue at most, likewise.
        granular: eosin of cytoplasm with granules at least, as a share of the blue of the nucleus.
        lobe_area: of a lobe of a nucleus, square micrometres.
        lobe_share: of the whole nucleus, at least.
        lobe_neck: between two lobes, as a share of the radius of the smaller.
    """

    working_scale: float = Field(default=0.15, gt=0)
    blur: float = 0.25
    stained: float = 0.05
    peak: float = 0.16
    seed_radius: float = 0.6
    seed_area: float = 9.0
    pale: float = 0.035
    bluish: float = 0.03
    red: float = 0.07
    red_share: float = 1.2
    reach: float = 3.0
    fall: float = 0.4
    edge: float = 0.5
    paler: float = 0.3
    smooth: float = 1.6
    neck: float = 0.8
    convex: float = 0.95
    part_radius: float = 1.2
    nucleus_area: float = 15.0
    cell_area: float = 25.0
    doublet_area: float = 400.0
    doublet_solidity: float = 0.88
    smudge_area: float = 100.0
    smudge_stained: float = 0.93
    smudge_solidity: float = 0.94
    spread_area: float = 150.0
    spread_stained: float = 0.975
    spread_solidity: float = 0.965
    platelet_area: float = 8.0
    least_red: float = 0.15
    most_red: float = 1.4
    most_blue: float = 0.85
    granular: float = 0.15
    lobe_area: float = 2.5
    lobe_share: float = 0.1
    lobe_neck: float = 0.7
