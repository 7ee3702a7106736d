"""What a package's source does that may come out otherwise each time: read as syntax, never run.

What it finds is possible and no more: it follows no import and no value, and misses what libraries do inside.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pkgrun.packages.modules import Module, parse

_SEEDED = {
    "random": ("random.seed", ("random.Random", "random.SystemRandom")),
    "numpy.random": (
        "numpy.random.seed",
        ("numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.Generator"),
    ),
    "torch": ("torch.manual_seed", ()),
}
"""Modules of random numbers: what seeds all of it, and what is a source of its own."""

_DRAWS_OF_TORCH = frozenset(
    """rand randn randint randperm normal bernoulli multinomial rand_like randn_like nn optim""".split()  # noqa: SIM905
)
_CLOCK = frozenset(
    """time.time time.time_ns time.strftime time.ctime time.localtime time.gmtime datetime.datetime.now
    datetime.datetime.utcnow datetime.datetime.today datetime.date.today""".split()  # noqa: SIM905
)
_OWN = frozenset(
    """os.getpid os.uname socket.gethostname platform.node platform.platform tempfile.mkdtemp tempfile.mkstemp
    os.getcwd os.path.abspath os.path.realpath""".split()  # noqa: SIM905
)
_ENTROPY = frozenset(
    """os.urandom uuid.uuid1 uuid.uuid4 secrets.token_hex secrets.token_bytes secrets.randbelow secrets.choice
    random.SystemRandom""".split()  # noqa: SIM905
)
_LISTING = {"os.listdir", "os.scandir", "os.walk", "glob.glob", "glob.iglob"}
_LISTING_METHODS = {".iterdir", ".glob", ".rglob"}
_PARALLEL = frozenset({"threading", "multiprocessing", "concurrent.futures", "joblib.Parallel"})
_NETWORK = frozenset({"requests", "urllib.request", "httpx", "aiohttp", "urllib3", "boto3", "socket"})
_STATES = frozenset(
    """train_test_split KFold StratifiedKFold ShuffleSplit StratifiedShuffleSplit RandomForestClassifier
    RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor GradientBoostingClassifier
    GradientBoostingRegressor MLPClassifier MLPRegressor KMeans MiniBatchKMeans SGDClassifier SGDRegressor
    IsolationForest TruncatedSVD TSNE DecisionTreeClassifier DecisionTreeRegressor shuffle resample""".split()  # noqa: SIM905
)
_NAMED = 3
_ORDERLESS = {"sorted", "len", "set", "sum", "any", "all", "min", "max"}
_ORDERED_SPLITS = {"KFold", "StratifiedKFold"}


@dataclass(slots=True)
class _Seen:
    """What was found, by what it is; the places are files and lines."""

    places: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    seeds: set[str] = field(default_factory=set)

    def note(self, what: str, path: str, node: ast.AST) -> None:
        """One place more."""
        self.places.setdefault(what, set()).add((path, getattr(node, "lineno", 1)))


def of_sources(sources: Iterable[tuple[str, bytes]]) -> list[str]:
    """What Python files, given as path and bytes, do, in sentences, each with its first places; what is no Python is passed over."""
    seen = _Seen()
    for path, data in sources:
        parsed = parse(path, data)
        if isinstance(parsed, Module):
            with suppress(RecursionError):
                _look(parsed.tree, path, seen)
    return list(_told(seen))


def _look(tree: ast.Module, path: str, seen: _Seen) -> None:
    names = _names(tree)
    ordered = {id(inner) for node in ast.walk(tree) for inner in _in_order(node)}
    for name in {name for name in names.values() if _under(name, _PARALLEL)}:
        seen.note("parallel", path, _first(tree, names, name))
    for name in {name for name in names.values() if _under(name, _NETWORK)}:
        seen.note("network", path, _first(tree, names, name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _call(node, _called(node.func, names), path, seen, ordered=id(node) in ordered)


def _under(name: str, tops: frozenset[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def _first(tree: ast.Module, names: Mapping[str, str], name: str) -> ast.AST:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    bound = (node for node in imports if any(names.get(_local(one)) == name for one in node.names))
    return next(bound, tree)


def _local(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _names(tree: ast.Module) -> dict[str, str]:
    """What the names that imports bind stand for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                found[_local(one)] = one.name if one.asname else one.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                found[one.asname or one.name] = f"{node.module}.{one.name}"
    return found


def _called(function: ast.expr, names: Mapping[str, str]) -> str:
    """What is called, in full where an import tells; `.method` of anything else."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name) and function.id in names:
        return ".".join([names[function.id], *reversed(parts)])
    if isinstance(function, ast.Name) and not parts:
        return function.id
    return f".{parts[0]}" if parts else ""


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """What stands inside of `sorted(…)`, `len(…)` and the like, where the order does not matter."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ORDERLESS:
        yield from (inner for argument in node.args for inner in ast.walk(argument))


def _call(node: ast.Call, name: str, path: str, seen: _Seen, *, ordered: bool) -> None:
    if name in _CLOCK:
        seen.note("clock", path, node)
    elif name in _ENTROPY:
        seen.note("entropy", path, node)
    elif name in _OWN:
        seen.note("own", path, node)
    elif not ordered and (name in _LISTING or name in _LISTING_METHODS):
        seen.note("listing", path, node)
    elif name.rpartition(".")[2] in _STATES and name.startswith("sklearn."):
        _state(node, name.rpartition(".")[2], path, seen)
    else:
        _draw(node, name, path, seen)


def _state(node: ast.Call, what: str, path: str, seen: _Seen) -> None:
    """Of scikit-learn, what draws at random unless it is told a `random_state`."""
    given = {one.arg: one.value for one in node.keywords}
    shuffles = given.get("shuffle")
    quiet = what in _ORDERED_SPLITS and (shuffles is None or _is(shuffles, False))
    state = given.get("random_state")
    if None not in given and not quiet and (state is None or _is(state, None)):
        seen.note("state", path, node)


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _draw(node: ast.Call, name: str, path: str, seen: _Seen) -> None:
    for module, (seed, sources) in _SEEDED.items():
        if name == seed:
            if node.args and not _is(node.args[0], None):
                seen.seeds.add(module)
        elif name in sources:
            if not node.args and not node.keywords:
                seen.note(f"draws {module}", path, node)
        elif name.startswith(f"{module}.") and (module != "torch" or name.split(".")[1] in _DRAWS_OF_TORCH):
            seen.note(f"draws {module}", path, node)


_SENTENCES = {
    "state": "scikit-learn draws at random where no random_state is given",
    "entropy": "random bytes that no seed governs",
    "clock": "the clock is read",
    "own": "the process, the machine or the work directory is asked for its name",
    "listing": "a folder is listed without sorting, in an order that the file system chooses",
    "parallel": "work is done in parallel, where sums of floats depend on the order",
    "network": "something may be fetched from the network",
}


def _told(seen: _Seen) -> Iterator[str]:
    for module, (seed, _) in _SEEDED.items():
        places = seen.places.get(f"draws {module}")
        if places and module not in seen.seeds:
            yield f"{module} draws numbers, and nothing calls {seed}: {_listed(places)}"
    for what, sentence in _SENTENCES.items():
        if places := seen.places.get(what):
            yield f"{sentence}: {_listed(places)}"


def _listed(places: set[tuple[str, int]]) -> str:
    told = [f"{path}:{line}" for path, line in sorted(places)]
    more = f" and {len(told) - _NAMED:,} more" if len(told) > _NAMED else ""
    return ", ".join(told[:_NAMED]) + more
