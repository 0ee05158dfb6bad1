"""What the API takes: every field with its bounds; one that is not known is refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from edge_runtime.errors import FleetError
from edge_runtime.messages import Desired as DesiredMessage

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
Labels = dict[Name, Annotated[str, StringConstraints(max_length=128)]]
Selector = Annotated[str, StringConstraints(max_length=1024)]
_MOST_LABELS = 32


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Login(Body):
    """A token, for a session."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Change(Body):
    """Labels of a device, null for those to take away, and where it stands."""

    labels: dict[Name, Annotated[str, StringConstraints(max_length=256)] | None] | None = Field(
        default=None, max_length=_MOST_LABELS
    )
    latitude: float | None = Field(default=None, ge=-90, le=90, allow_inf_nan=False)
    longitude: float | None = Field(default=None, ge=-180, le=180, allow_inf_nan=False)


class Command(Body):
    """One thing to do now, not after `seconds`."""

    op: Literal["report", "probe", "revert", "logs", "restart"]
    arguments: dict[str, Any] | None = None
    seconds: int = Field(default=3600, ge=1, le=30 * 86_400)


class Commands(Command):
    """The same for every device that a selector means; "all" is every device."""

    selector: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Desire(Body):
    """What one device shall be from now on, as `edge_runtime.messages.Desired` without `v`, which is given to it."""

    desired: dict[str, Any]

    @field_validator("desired")
    @classmethod
    def _readable(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            DesiredMessage.read(value | {"v": 1})
        except FleetError as error:
            raise ValueError(str(error)) from error
        return value


class Group(Body):
    """Devices by what they are, such as ``target=rpi4,room=kitchen``."""

    selector: Selector


class Enrolment(Body):
    """A device that may come once."""

    device: Name
    site: Name | Literal[""] = ""
    labels: Labels = Field(default_factory=dict, max_length=_MOST_LABELS)
    hours: float = Field(default=24, gt=0, le=24 * 90)
    hosts: list[Annotated[str, StringConstraints(min_length=1, max_length=253)]] = Field(
        default_factory=list, max_length=16, description="for a gateway: by what names its devices reach it"
    )


class Enrol(Body):
    """What a device sends to become known: its one-time token and its certificate signing request in PEM."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    csr: Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class Renewal(Body):
    """What a device sends for a newer certificate: the old one, the request, the time, and the old key's signature."""

    certificate: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    csr: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    time: int
    signature: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Token(Body):
    """A token for a person or a program."""

    name: Name
    role: Literal["viewer", "operator", "admin"]
    days: float | None = Field(default=None, gt=0, le=3650)


class Rollout(Body):
    """A rollout's specification, as `littoral rollout create` takes it."""

    spec: dict[str, Any]


class Reason(Body):
    """Why, for the audit log."""

    reason: Annotated[str, StringConstraints(max_length=512)] = ""
