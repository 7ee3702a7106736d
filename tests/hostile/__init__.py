"""Attackers and clumsy users, end to end. Each test names its row of the list of hostile inputs.

1 names and ids · 2 records that point elsewhere · 5 datasets and folders of every kind · 6 code that misbehaves ·
7 secrets · 11 permissions · 12 terminal escapes · and, as `clumsy`, what nobody means to do and everybody does.
"""
