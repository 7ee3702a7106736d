"""Gaussian naive Bayes on dictionaries: a model is {class: {feature: [mean, standard deviation]}}."""

from math import exp, log
from statistics import NormalDist


def fit(rows, target):
    """Learn from rows such as {"petal_width": "0.2", ..., target: "setosa"}; at least two rows a class."""
    by_class = {}
    for row in rows:
        by_class.setdefault(row[target], []).append(row)
    return {name: _bells(members, target) for name, members in by_class.items()}


def _bells(members, target):
    features = [feature for feature in members[0] if feature != target]
    bells = {feature: NormalDist.from_samples(float(row[feature]) for row in members) for feature in features}
    # A feature that never varies would divide by zero.
    return {feature: [bell.mean, max(bell.stdev, 1e-6)] for feature, bell in bells.items()}


def probabilities(model, row):
    """The probability of each class, all classes being equally likely beforehand."""
    # Sums of logarithms: a product of many small densities would underflow to zero.
    scores = {
        name: sum(
            -log(deviation) - ((float(row[feature]) - mean) / deviation) ** 2 / 2
            for feature, (mean, deviation) in features.items()
        )
        for name, features in model.items()
    }
    best = max(scores.values())
    weights = {name: exp(score - best) for name, score in scores.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def classify(model, row):
    chances = probabilities(model, row)
    return max(chances, key=chances.get)
