"""Which way a metric is better, where its name tells; of any other name nothing is said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

_MORE = frozenset(
    """accuracy acc precision recall sensitivity specificity f1 auc auroc auprc r2 iou dice jaccard kappa mcc ndcg mrr
    bleu rouge meteor likelihood""".split()  # noqa: SIM905
)
_LESS = frozenset(
    """loss logloss error err errors mse rmse mae mape smape rmsle msle nll perplexity wer cer brier ece crossentropy
    deviance""".split()  # noqa: SIM905
)
_OPPOSED = frozenset({"neg", "negative"})
_OTHERWISE = frozenset(
    """std stddev sd var variance stderr se count counts n num number rows samples size threshold target weight change
    delta diff difference gap ratio epoch step id seed""".split()  # noqa: SIM905
)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*|[A-Z]+\d*|\d+")


def direction(name: str) -> Literal["more", "less"] | None:
    """Whether more of it is better, or less; None where the name does not tell, or tells both."""
    words = {word.lower() for word in _WORD.findall(name)}
    more, less = bool(words & _MORE), bool(words & _LESS)
    if more == less or words & _OTHERWISE:
        return None
    if words & _OPPOSED:
        return "more" if less else "less"
    return "more" if more else "less"


def best(name: str, values: Sequence[object]) -> tuple[int, ...]:
    """Where the best of several values stand; nowhere if that cannot be told, or if all are as good."""
    way = direction(name)
    numbers = {
        index: value
        for index, value in enumerate(values)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if way is None or len(set(numbers.values())) < 2:
        return ()
    top = (max if way == "more" else min)(numbers.values())
    return tuple(index for index, value in numbers.items() if value == top)
