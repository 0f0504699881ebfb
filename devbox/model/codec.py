"""Model values as JSON documents and back.

Only what differs from a field's default is written, so documents are short, and a field that a later version
adds is read from an old document as its default.
"""

from __future__ import annotations

import json
from typing import Any

from devbox.errors import StoreError
from devbox.model.container import (
    ContainerConfig,
    Device,
    HealthCheck,
    LogConfig,
    Resources,
    RestartPolicy,
    Throttle,
    Ulimit,
)
from devbox.model.mount import Mount
from devbox.model.network import EndpointWish, PortWish

_MEMBERS: dict[str, Any] = {
    "health": HealthCheck,
    "resources": Resources,
    "restart": RestartPolicy,
    "log": LogConfig,
}
_ELEMENTS: dict[str, Any] = {
    "mounts": Mount,
    "devices": Device,
    "endpoints": EndpointWish,
    "ports": PortWish,
    "throttles": Throttle,
    "ulimits": Ulimit,
}


def encode(value: Any) -> Any:
    """A JSON-able form of a NamedTuple, tuple, mapping or scalar."""
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            defaults = getattr(value, "_field_defaults")  # noqa: B009
            return {
                name: encode(item)
                for name, item in zip(value._fields, value, strict=True)
                if name not in defaults or item != defaults[name]
            }
        return [encode(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def dump_config(config: ContainerConfig) -> str:
    """The `config_json` column."""
    return json.dumps(encode(config), separators=(",", ":"))


def load_config(document: str) -> ContainerConfig:
    """The value of a `config_json` column; StoreError for a field that only a newer devbox knows."""
    try:
        return _config(json.loads(document))
    except TypeError as error:
        raise StoreError(
            "a container was made by a newer devbox", hint="use that version, or remove it there"
        ) from error


def _config(fields: dict[str, Any]) -> ContainerConfig:
    for name, value in fields.items():
        if name in _ELEMENTS:
            fields[name] = tuple(_value(_ELEMENTS[name], item) for item in value)
        elif name in _MEMBERS:
            fields[name] = _value(_MEMBERS[name], value)
        else:
            fields[name] = _frozen(value)
    return ContainerConfig(**fields)


def _value(cls: Any, fields: dict[str, Any]) -> Any:
    return cls(**{name: _frozen(value) for name, value in fields.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
