"""Where in a cell the model finds its evidence: the class map of the bundle's own graph, over the image."""

from __future__ import annotations

import cv2
import numpy as np

from leukoscope.cells.quality import examine
from leukoscope.errors import UsageError
from leukoscope.explain.class_map import class_map
from leukoscope.explain.evidence import Floats
from leukoscope.explain.methods import Method, over_views
from leukoscope.explain.overlay import veil
from leukoscope.inference.predictor import Predictor
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.images import ImageStore


class HeatMaps:
    """Maps of cells, made when they are asked for, and kept.

    Args:
        bundles: that cases were read with.
        images: where pixels lie.
        derived: where maps are kept.
    """

    def __init__(self, bundles: Bundles, images: ImageStore, derived: Derived) -> None:
        self._bundles, self._images, self._derived = bundles, images, derived
        self._methods: dict[str, Method | UsageError] = {}

    def why_none(self, bundle_id: str) -> str | None:
        """Why this bundle gives no map, ``None`` where it gives one."""
        found = self._method(bundle_id)
        return found.message if isinstance(found, UsageError) else None

    def png(self, bundle_id: str, sha256: str) -> bytes:
        """The map of a kept image: a clear picture as large as it, coloured where there is evidence.

        Raises:
            UsageError: when the bundle has no class map.
            ImageError: when the image is damaged.
        """
        method = self._method(bundle_id)
        if isinstance(method, UsageError):
            raise method

        def make() -> bytes:
            found = map_over(self._bundles.predictor(bundle_id), method, self._images.pixels(sha256))
            return bytes(cv2.imencode(".png", cv2.cvtColor(veil(found), cv2.COLOR_RGBA2BGRA))[1])

        return self._derived.get(f"maps-{bundle_id}", sha256, make)

    def _method(self, bundle_id: str) -> Method | UsageError:
        if bundle_id not in self._methods:
            predictor = self._bundles.predictor(bundle_id)
            try:
                self._methods[bundle_id] = class_map(predictor.bundle, predictor.backend)
            except UsageError as error:
                self._methods[bundle_id] = error
        return self._methods[bundle_id]


def map_over(predictor: Predictor, method: Method, image: np.ndarray) -> Floats:
    """The map of one image, laid where the model's window lay: float32 (H, W), zero outside of the window.

    Args:
        predictor: whose bundle the map explains.
        method: of the same bundle.
        image: uint8 (H, W, 3) RGB.
    """
    info = predictor.bundle.info
    measures, _ = examine(image, info.limits)
    cell = info.preprocess.apply(image, measures)[None]
    field = info.preprocess.field
    window = cv2.resize(over_views(method.mapper, cell, info.views)[0], (field, field))
    left, top = info.preprocess.origin(measures)
    shift = np.array([[1, 0, left], [0, 1, top]], np.float32)
    return np.asarray(cv2.warpAffine(window, shift, (image.shape[1], image.shape[0])), dtype=np.float32)
