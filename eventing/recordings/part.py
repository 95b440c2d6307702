"""Which part of a recording is asked for."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

#: The header of a recorder's answer that says what to ask ``after`` the next time.
CURSOR: Final = "Kaito-Cursor"
_Name = Annotated[str, Field(max_length=500)]


class Part(BaseModel):
    """What is of an object (``workspace/default/phi`` or an end of it), of a function (its name or an end of it), of a
    time, and came ``after`` what was read before. As a recorder is asked, in a URL's query."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    object: _Name = ""
    function: _Name = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    after: Annotated[int, Field(ge=0, lt=1 << 63)] = 0

    def query(self) -> dict[str, str]:
        """What differs from everything."""
        return {name: str(value) for name, value in self.model_dump(mode="json", exclude_defaults=True).items()}
