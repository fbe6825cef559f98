"""Files of JSON that people write: read whole against a model, or refused with one line that quotes nothing of them."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from common.contracts.validation import validation_faults
from common.errors import ConfigurationError

T = TypeVar("T")


def read_first(path: Path, what: str, read: Callable[[bytes], object]) -> None:
    """Have ``read`` take over a file that the program cannot start without. Raises ``ConfigurationError`` with one line that names it."""
    try:
        read(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"the {what} {path} cannot be read: {error.strerror}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"the {what} {path} {error.detail}") from None


def read_json_file(model: TypeAdapter[T], content: bytes | str) -> T:
    """Return what a file says; editors of Windows write a mark before it that says nothing.

    Raises ``ConfigurationError`` whose detail goes on after the file's name ("is malformed at tokens.0.role: Field required").
    """
    try:
        plain = content.removeprefix("\ufeff") if isinstance(content, str) else content.removeprefix(BOM_UTF8)
        return model.validate_python(orjson.loads(plain))
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"is not JSON: {error}") from None
    except ValidationError as error:
        first = validation_faults(error)[0]
        raise ConfigurationError(f"is malformed at {first.field or 'the document'}: {first.message}") from None
