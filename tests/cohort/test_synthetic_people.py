"""The class shows in size and, independently, in texture; the ruler reads what it reads on real cells."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leukoscope.cells.measure import measure
from leukoscope.cohort.cell_drawing import draw_cell
from leukoscope.cohort.synth import plan_cohort
from leukoscope.cohort.synthetic_people import draw_look, draw_people, spread


def test_size_and_texture_know_nothing_of_each_other():
    rng = np.random.default_rng(0)
    for blast in (True, False):
        people = draw_people(400, blast=blast, first=1, rng=rng)
        sizes, textures = [p.log_radius for p in people], [p.texture for p in people]
        assert abs(np.corrcoef(sizes, textures)[0, 1]) < 0.15


def test_stain_does_not_tell_the_class():
    rng = np.random.default_rng(0)
    red = [
        [person.stain[0] for person in draw_people(400, blast=blast, first=1, rng=rng)]
        for blast in (True, False)
    ]
    assert np.mean(red[0]) == pytest.approx(np.mean(red[1]), rel=0.03)
    assert np.std(red[0]) > 4


@pytest.mark.parametrize("num", [4, 8, 40])
def test_some_healthy_people_have_cells_as_large_as_patients(num):
    rng = np.random.default_rng(num)
    radii = {
        blast: [p.log_radius for p in draw_people(num, blast=blast, first=1, rng=rng)]
        for blast in (True, False)
    }
    as_large = sum(radius > np.quantile(radii[True], 0.1) for radius in radii[False])
    assert as_large == pytest.approx(num / 4, abs=0.1 * num)


@pytest.mark.parametrize("num", [1, 2, 9, 40])
def test_a_spread_has_one_value_in_each_part(num):
    values = spread(num, np.random.default_rng(num))
    assert sorted(int(value * num) for value in values) == list(range(num))


def test_a_cell_is_as_large_as_its_person_says():
    rng = np.random.default_rng(0)
    person = draw_people(1, blast=True, first=1, rng=rng)[0]
    areas = [measure(draw_cell(draw_look(person, rng, size=0.5), rng)).cell_area or 0 for _ in range(20)]
    assert np.log(np.sqrt(np.median(areas) / np.pi)) == pytest.approx(person.log_radius, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_ruler_reads_as_on_real_cells_and_texture_reads_more(seed):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    plan = plan_cohort(24, 40, 0, seed)
    rows = []
    for cell in plan:
        rng = np.random.default_rng(cell.seed)
        image = draw_cell(draw_look(cell.person, rng, size=cell.size), rng)
        facts = measure(image)
        box = np.log([facts.cell_width or 1, facts.cell_height or 1])
        rows.append([box.sum(), box[0] - box[1], *texture(image)])
    table, labels = np.array(rows), np.array([cell.person.blast for cell in plan])
    people, folds = [cell.person.subject_id for cell in plan], StratifiedGroupKFold(5)

    def auroc(model, columns):
        scores = cross_val_predict(
            model, table[:, columns], labels, groups=people, cv=folds, method="predict_proba"
        )
        return roc_auc_score(labels, scores[:, 1])

    assert 0.78 <= auroc(LogisticRegression(), slice(0, 2)) <= 0.82
    assert auroc(HistGradientBoostingClassifier(max_iter=60, random_state=0), slice(2, None)) >= 0.93


def texture(image):
    """How strong the detail at four scales is, at the size that a network sees."""
    small = cv2.resize(image[33:417, 33:417], (128, 128), interpolation=cv2.INTER_AREA)
    inside = cv2.erode(np.uint8(small.any(axis=2)), np.ones((9, 9))) > 0
    light = np.log(small[..., 1].astype(np.float32) + 1)
    light[~inside] = light[inside].mean()
    for sigma in (0.7, 1.4, 2.8, 5.6):
        smooth = cv2.GaussianBlur(light, (0, 0), sigma)
        detail, light = (light - smooth)[inside], smooth
        yield np.log(detail.std())
        yield (detail**3).mean() / detail.std() ** 3
