"""Benchmarks: whole processes, timed in turn with what they are compared to. They print tables; they test nothing.

    python -m tests.bench.peers DIR                      # once: DVC, Metaflow and MLflow, a virtual environment each
    python -m tests.bench --peers DIR [startup|train|growth|storage|memory ...]

What one run compares stands in one table, so ratios hold where absolute times drift with the machine's load.
"""
