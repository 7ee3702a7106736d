"""What whoever writes a backend, or tests against pkgrun's store, may use: it is shipped, and part of the interface.

- `BackendConformance`: every MUST of `pkgrun.store.backend` as a test; `ReadingConformance`: those of reading.
- `MemoryBackend`: a backend in memory.
- `Faulty`, `Slow`, `Counting`: wrappers that fail on purpose, take their time, count.
- `pkgrun.testing.strategies`: Hypothesis strategies; the only module here that needs Hypothesis.

Nothing here is used by pkgrun itself, and none of it needs pytest to be imported.
"""

from pkgrun.testing.conformance import BackendConformance, ReadingConformance
from pkgrun.testing.counting import Counting, Tally
from pkgrun.testing.faulty import Fault, Faulty, Plan
from pkgrun.testing.memory import MemoryBackend
from pkgrun.testing.slow import Slow

__all__ = [
    "BackendConformance",
    "Counting",
    "Fault",
    "Faulty",
    "MemoryBackend",
    "Plan",
    "ReadingConformance",
    "Slow",
    "Tally",
]
