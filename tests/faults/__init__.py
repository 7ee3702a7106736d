"""Each operation, broken at each call that it makes of the store, before and after the call takes effect.

    python -m tests.faults                      # all of it; prints the table of the README's section on reliability
    python -m tests.faults train gc --sample 300 --seed 7

The same is done with the requests that it makes of a real S3 server (`server`), through a proxy that answers in its place.

Besides, for real: power cuts, deaths at system calls, full disks, and crowds that are killed and stopped.

An operation is done once to count its calls. Then it is done again for each of them in a process of its own, on a fresh
copy of the same store, with one fault. Afterwards somebody else recovers and checks the store: nothing that was
acknowledged may be lost or doubled, and no record may refer to something that is not there.
"""
