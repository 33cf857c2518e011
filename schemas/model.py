"""The one base of all models in this package: closed, frozen and strict."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A model that knows every one of its attributes, never converts, never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
