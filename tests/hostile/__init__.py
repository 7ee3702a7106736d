"""Attackers and clumsy users, end to end. Each test names its row of the list of hostile inputs; `test_rows.py` has the
list, and counts the tests of each row wherever they lie.

1 names and ids · 2 records that point elsewhere · 5 datasets and folders of every kind · 6 code that misbehaves ·
7 secrets · 9 backends that fail · 11 permissions · 12 terminal escapes · 13 pickles · `fuzz`: every parser, and, as
`clumsy`, what nobody means to do and everybody does.
"""
