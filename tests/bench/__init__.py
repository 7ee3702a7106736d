"""Benchmarks: whole processes, timed in turn with what they are compared to. They print tables; they test nothing.

    python -m tests.bench.peers DIR                      # once: DVC, Metaflow and MLflow, a virtual environment each
    python -m tests.bench --peers DIR [startup|train|growth|storage|memory ...]
    python -m tests.bench --peers DIR [snapshot|restore|mount|s3|large|files ...]      # of datasets; the first three: data

restic and borg are compared to where they are installed (Debian's restic, borgbackup). As root, datasets are measured
on file systems of their own; see `scratch.py` for what else distorts such figures.

What one run compares stands in one table, so ratios hold where absolute times drift with the machine's load.
"""
