"""What is not shown to have been the same when a run was done again. As long as there is any, nothing is proven."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pkgrun.records import Data, Environment, Facts
from pkgrun.runs import inherited
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.worker import locks


def doubts(
    store: Store, then: Facts, now: Facts, *, secrets: Sequence[str] = (), altered: Sequence[str] = ()
) -> Iterator[str]:
    """One sentence each: data that was not attested, an environment that is not the same or not held to hashes, chance.

    Args:
        secrets: the names of those that both runs had.
        altered: files of the environment that are not as they were installed.
    """
    yield from _data_doubts("the data", then.data, now.data)
    yield from _data_doubts("the evaluation set", then.evaluation_data, now.evaluation_data)
    for when, facts in (("then", then), ("now", now)):
        for folder in dict.fromkeys(one.folder for one in facts.passed if not one.attested):
            yield f"what the package's own code prepared in {folder} was not attested {when}"
    yield from _environment_doubts(store, then.environment, now.environment)
    if altered:
        yield f"files of the environment are not as they were installed: {some([shown(one) for one in altered])}"
    if secrets:
        yield f"the values of secrets are not recorded, and may be others: {some(secrets)}"
    if devices(then) != devices(now):
        yield f"it was shown {some(devices(now)) or 'no device'}, then {some(devices(then)) or 'none'}"
    if "random" in (then.hash_seed, now.hash_seed):
        yield "the hash seed was random, so each run had its own"


def _data_doubts(what: str, then: Data | None, now: Data | None) -> Iterator[str]:
    for when, data in (("then", then), ("now", now)):
        if data and not data.attested:
            count = data.unstable.count
            why = data.doubt or f"{'a file' if count == 1 else f'{count:,} files'} changed while the code ran"
            yield f"{what} was not attested {when}: {why}"
    if (then and then.tree.digest) != (now and now.tree.digest):
        yield f"{what} that was given is not what it was then: it changed after it had been looked at"


def _environment_doubts(store: Store, then: Environment | None, now: Environment | None) -> Iterator[str]:
    if then is None or now is None:
        yield "an environment is not recorded"
        return
    if then.mode == "current":
        yield "it ran in the Python at hand, whose packages are recorded by version, without hashes"
    if then.lock.digest != now.lock.digest:
        others = _packages(store, then) ^ _packages(store, now)
        yield f"other packages are installed than then: {some(sorted(others))}"
    elif then.mode == "isolated" and (loose := _unhashed(store, then)):
        yield f"its lock holds {some(loose)} to no hash"
    if then.platform != now.platform:
        yield f"this is another platform: {now.platform}, then {then.platform}"
    if then.python != now.python:
        yield f"this is another Python: {now.python}, then {then.python}"


def _packages(store: Store, environment: Environment) -> set[str]:
    return {line.partition(" ")[0] for line in locks.required(inherited.text(store, environment))}


def _unhashed(store: Store, environment: Environment) -> list[str]:
    lines = locks.required(inherited.text(store, environment))
    return [line.partition(" ;")[0] for line in lines if "--hash=" not in line]


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def devices(facts: Facts) -> list[str]:
    """The accelerators that a run was shown, by name and driver."""
    return sorted(" ".join(filter(None, (one.name or one.vendor, one.driver))) for one in facts.devices)
