"""Which way a metric is better: told by names that tell it, guessed by no other."""

from __future__ import annotations

import pytest

from pkgrun.runs.directions import best, direction


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "accuracy.held_out",
        "valAccuracy",
        "top1_accuracy",
        "F1",
        "f1_macro",
        "roc_auc",
        "R2",
        "r2_score",
        "neg_mean_squared_error",
        "neg_log_loss",
        "negative_rmse",
        "precision/at recall",
    ],
)
def test_more_is_better(name: str) -> None:
    assert direction(name) == "more"


@pytest.mark.parametrize(
    "name", ["loss", "val_loss", "logLoss", "RMSE", "mean_absolute_error", "WER", "test.mae", "neg_accuracy"]
)
def test_less_is_better(name: str) -> None:
    assert direction(name) == "less"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "score",
        "rows.held_out",
        "accuracy_loss",
        "accuracy.std",
        "error count",
        "loss_weight",
        "lossless",
        "accurately",
        "map",
        "temperature",
        "recall_threshold",
    ],
)
def test_a_name_that_does_not_tell_is_left_alone(name: str) -> None:
    assert direction(name) is None


def test_the_best_are_all_that_are_as_good() -> None:
    assert best("accuracy", (0.9, None, 0.95, 0.95)) == (2, 3)
    assert best("loss", (0.9, None, 0.95, 0.95)) == (0,)


def test_where_all_are_as_good_or_only_one_has_it_none_is_best() -> None:
    assert best("accuracy", (0.9, 0.9)) == ()
    assert best("accuracy", (0.9, None)) == ()
    assert best("rows", (1.0, 2.0)) == ()
