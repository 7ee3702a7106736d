"""What people say of a version besides its description."""

from typing import Annotated, Literal, Self

from pydantic import Field

from pkgrun.records.record import Record


class Listing(Record):
    """How a version is listed where it is served, by the fields of the vendor's form; null where nothing was said."""

    display_name: str | None = None
    input_type: Annotated[
        Literal["json", "file", "files"] | None, Field(description="What `predict` is given.")
    ] = None
    input_description: str | None = None
    output_description: str | None = None
    language: str | None = None
    language_version: str | None = None
    retrainable: bool | None = None
    gpu: Annotated[bool | None, Field(description="Whether a GPU is advised.")] = None
    change_log: str | None = None

    def inherited(self) -> Self:
        """What also holds of a version that is made from this one: all but what changed in this one."""
        return self.model_copy(update={"change_log": None})

    @property
    def said(self) -> dict[str, str | bool]:
        """What was said, by field."""
        return {name: value for name, value in self if value is not None}
