"""The parameters that a package declares: from its folder into the version's record, and from there into a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from pkgrun.observe import Notice, Observer
from pkgrun.packages import parameters
from pkgrun.packages.parameters import Parameter
from pkgrun.records import Contract
from pkgrun.records import Parameter as ParameterRecord
from pkgrun.runs import asked


def recorded(declared: Mapping[str, Parameter]) -> dict[str, ParameterRecord]:
    """As a version's record keeps them."""
    return {name: ParameterRecord(**asdict(one)) for name, one in declared.items()}


def of_version(contract: Contract) -> dict[str, Parameter]:
    """As a version's record has them."""
    return {name: Parameter(**one.model_dump()) for name, one in contract.parameters.items()}


def used(
    declared: Mapping[str, Parameter],
    given: Mapping[str, str],
    secrets: Mapping[str, str],
    observer: Observer,
) -> dict[str, str]:
    """What a run's code gets to see, and its record says: what was given, checked, and the defaults of the rest.

    Raises:
        UsageError: a value is not what the package declares, a required one is missing, or a default cannot be used.
    """
    found = parameters.used(declared, given, secrets)
    for remark in found.remarks:
        observer(Notice(remark))
    asked.check_parameters(found.values, secrets)
    return found.values
