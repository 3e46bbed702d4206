"""The ruler, against scikit-learn and against its published readings on the whole official index."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from leukoscope.cohort.official import official_index
from leukoscope.errors import UsageError
from leukoscope.evaluation import metrics
from leukoscope.evaluation.ruler import RULER_FEATURES, Ruler, features_of, fit_ruler, out_of_fold_ruler


@pytest.fixture(scope="module")
def training() -> pl.DataFrame:
    return official_index().filter(pl.col("split") == "training")


def boxes(size=400, seed=0):
    random = np.random.default_rng(seed)
    y = random.random(size) < 0.6
    side = random.normal(np.where(y, 220, 180), 30).clip(80)
    frame = pl.DataFrame({"cell_width": side, "cell_height": side * random.normal(1, 0.05, size)})
    return frame.cast(pl.Int32), y


def test_it_is_the_logistic_regression_of_scikit_learn():
    frame, y = boxes()
    width, height = (frame[name].to_numpy().astype(float) for name in ("cell_width", "cell_height"))
    features = np.column_stack([np.log(width * height), np.log(width / height)])
    expected = LogisticRegression(tol=1e-10, max_iter=1000).fit(features, y).predict_proba(features)[:, 1]
    np.testing.assert_allclose(fit_ruler(frame, y).predict(frame), expected, atol=1e-5)


def test_larger_is_more_like_a_blast():
    frame, y = boxes()
    ruler = fit_ruler(frame, y)
    sizes = pl.DataFrame({"cell_width": [150, 250], "cell_height": [150, 250]})
    small, large = ruler.predict(sizes)
    assert small < 0.5 < large
    assert ruler.coefficients[0] > 0


def test_unknown_sizes_are_nan_and_fit_nothing():
    frame, y = boxes()
    holes = pl.concat(
        [frame, pl.DataFrame({"cell_width": [None, 0], "cell_height": [200, 0]}, schema=frame.schema)]
    )
    ruler = fit_ruler(holes, np.append(y, [True, True]))
    assert ruler == fit_ruler(frame, y)
    assert np.isnan(ruler.predict(holes)[-2:]).all()
    assert np.isfinite(ruler.predict(holes)[:-2]).all()


def test_one_class_cannot_be_fitted():
    frame, _ = boxes()
    with pytest.raises(UsageError, match="400 blasts, 0 normal"):
        fit_ruler(frame, np.ones(400))


def test_it_travels_as_json():
    frame, y = boxes()
    ruler = fit_ruler(frame, y)
    again = Ruler.model_validate_json(ruler.model_dump_json())
    np.testing.assert_array_equal(again.predict(frame), ruler.predict(frame))


def test_an_unknown_feature_is_refused():
    with pytest.raises(ValueError, match="area"):
        Ruler(features=("area",), mean=(0,), scale=(1,), coefficients=(1,), intercept=0)


def test_no_fold_is_judged_by_its_own_labels():
    """Turning the labels of a fold round does not move its own probabilities, but the others'."""
    frame, y = boxes()
    frame = frame.with_columns(
        fold=pl.Series(np.arange(400) % 3), label=pl.Series(np.where(y, "blast", "normal"))
    )
    turned = frame.with_columns(
        label=pl.when(pl.col("fold") == 1)
        .then(pl.when(pl.col("label") == "blast").then(pl.lit("normal")).otherwise(pl.lit("blast")))
        .otherwise("label")
    )
    one, other = out_of_fold_ruler(frame), out_of_fold_ruler(turned)
    here = (frame["fold"] == 1).to_numpy()
    np.testing.assert_array_equal(one[here], other[here])
    assert (one[~here] != other[~here]).all()


def test_rows_without_a_fold_are_unknown_and_unlabelled_rows_are_predicted():
    frame, y = boxes(60)
    fold = pl.Series([None, *(np.arange(59) % 2)], dtype=pl.Int32)
    label = pl.Series(np.where(y, "blast", "normal").tolist()).scatter(5, None)
    found = out_of_fold_ruler(frame.with_columns(fold=fold, label=label))
    assert np.isnan(found[0])
    assert np.isfinite(found[1:]).all()


def test_one_fold_is_too_few():
    frame, y = boxes(30)
    with pytest.raises(UsageError, match="two folds"):
        out_of_fold_ruler(frame.with_columns(fold=1, label=pl.Series(np.where(y, "blast", "normal"))))


@pytest.mark.parametrize(
    ("features", "auroc", "weighted_f1"),
    [(tuple(RULER_FEATURES), 0.804, 0.787), (("log_area",), 0.802, 0.790)],
)
def test_its_published_readings_on_all_training_cells(training, features, auroc, weighted_f1):
    assert training.height == 10_661
    p = out_of_fold_ruler(training, features=features)
    y = (training["label"] == "blast").to_numpy()
    assert metrics.auroc(y, p) == pytest.approx(auroc, abs=0.001)
    assert metrics.weighted_f1(metrics.confusion(y, p >= 0.5)) == pytest.approx(weighted_f1, abs=0.001)


def test_features():
    frame = pl.DataFrame({"cell_width": [200], "cell_height": [100]})
    found = features_of(frame, tuple(RULER_FEATURES))[0]
    np.testing.assert_allclose(found, [200, 100, np.log(20_000), np.log(2)])
