"""Turns texts into counts of words, the same way for training and serving."""

from sklearn.feature_extraction.text import HashingVectorizer


def count(texts):
    # Hashing learns no vocabulary, so nothing of it is saved, and words that only later batches know need no new
    # columns. Without signs, because naive Bayes cannot count below zero.
    return HashingVectorizer(n_features=2**14, alternate_sign=False, stop_words="english").transform(texts)
