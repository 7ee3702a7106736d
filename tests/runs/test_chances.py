"""What a package's source does that may come out otherwise: found where it is written, and not where it is not."""

from __future__ import annotations

import textwrap

import pytest

from pkgrun.runs.chances import of_sources


def told(source: str) -> list[str]:
    return of_sources([("train.py", textwrap.dedent(source).encode())])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import random\nrandom.shuffle(x)", "random draws numbers, and nothing calls random.seed: train.py:2"),
        ("import random\nrandom.seed()\nrandom.random()", "nothing calls random.seed"),
        ("import random\nrandom.Random().random()", "random draws numbers"),
        ("import numpy as np\nnp.random.rand(3)", "numpy.random draws numbers, and nothing calls numpy.random.seed"),
        ("from numpy.random import default_rng\nr = default_rng()", "numpy.random draws"),
        ("from numpy import random\nrandom.normal()", "numpy.random draws"),
        ("import torch\nmodel = torch.nn.Linear(2, 2)", "torch draws numbers, and nothing calls torch.manual_seed"),
        ("from sklearn.model_selection import train_test_split as t\nt(x)", "no random_state is given: train.py:2"),
        ("from sklearn.cluster import KMeans\nKMeans(3, random_state=None)", "no random_state is given"),
        ("import os\nos.urandom(3)", "random bytes"),
        ("import uuid\nuuid.uuid4()", "random bytes"),
        ("import time\ntime.time()", "the clock is read"),
        ("from datetime import datetime\ndatetime.now()", "the clock is read"),
        ("import socket\nsocket.gethostname()", "asked for its name"),
        ("import os\nfor name in os.listdir('data'): pass", "listed without sorting"),
        ("from pathlib import Path\nx = [p for p in Path('data').glob('*')]", "listed without sorting"),
        ("from multiprocessing import Pool", "in parallel"),
        ("import requests", "from the network"),
    ],
)  # fmt: skip
def test_it_is_told(source: str, words: str) -> None:
    assert any(words in one for one in told(source)), told(source)


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.seed(3)\nrandom.shuffle(x)",
        "import random\nrandom.Random(7).random()",
        "import numpy as np\nrng = np.random.default_rng(0)\nrng.normal()",
        "import numpy as np\nnp.random.seed(1)\nnp.random.rand()",
        "import torch\ntorch.manual_seed(0)\ntorch.randn(3)",
        "import torch\ntorch.load('x')",
        "from sklearn.cluster import KMeans\nKMeans(3, random_state=0)",
        "from sklearn.model_selection import KFold\nKFold(5)",
        "from sklearn.cluster import KMeans\nKMeans(**options)",
        "import os\nfor name in sorted(os.listdir('data')): pass",
        "import os\nsorted(n for n in os.listdir('data') if n)",
        "import time\ntime.sleep(1)",
        "def shuffle(x): pass\nshuffle(3)",
        "from .random import random\nrandom()",
        "",
    ],
)
def test_it_is_not_told(source: str) -> None:
    assert told(source) == []


def test_a_seed_in_another_file_counts() -> None:
    files = [("a.py", b"import random\nrandom.random()"), ("b.py", b"import random\nrandom.seed(1)")]

    assert of_sources(files) == []


def test_many_places_are_counted() -> None:
    source = "import time\n" + "time.time()\n" * 12

    assert told(source) == ["the clock is read: train.py:2, train.py:3, train.py:4 and 9 more"]


@pytest.mark.parametrize(
    "data",
    [
        b"def",
        b"\0",
        b"\xff\xfe",
        b"# coding: nothing\n",
        b"(" * 10_000,
        b"x = " + b"-" * 100_000 + b"1",
        b"1e9999",
    ],
)
def test_no_file_breaks_it(data: bytes) -> None:
    assert of_sources([("odd.py", data), ("train.py", b"import time\ntime.time()")]) == [
        "the clock is read: train.py:2"
    ]
