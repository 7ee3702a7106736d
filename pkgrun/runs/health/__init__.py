"""Whether this machine and a store are fit for training: looked at, never changed unless `clean` is asked.

One file a subject; each gives `Check`s and raises nothing for what is missing or broken, since that is its answer.
"""
