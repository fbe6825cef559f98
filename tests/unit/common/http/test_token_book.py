"""Tokens come from one file, and a wrong file is one clear line without a token in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.http import Principal, TokenBook


def write(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


ANNA = {"name": "anna", "token": "t-anna", "role": "operator"}


def test_a_token_names_its_owner_and_anything_else_names_nobody(tmp_path: Path) -> None:
    book = TokenBook.load(
        write(tmp_path / "tokens.json", {"tokens": [ANNA, {"name": "bot", "token": "ключ", "role": "internal"}]})
    )
    assert book.authenticate("t-anna") == Principal(name="anna", role="operator")
    assert book.authenticate("ключ") == Principal(name="bot", role="internal")
    assert [book.authenticate(token) for token in ("", "t-ann", "t-anna ", "T-ANNA", "\udcff")] == [None] * 5


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Bearer t-anna", "anna"),
        ("bearer  t-anna", "anna"),
        ("Basic t-anna", None),
        ("t-anna", None),
        ("Bearer", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_bearer_header_counts(header: str | None, name: str | None) -> None:
    principal = TokenBook([("anna", "t-anna", "operator")]).from_header(header)
    assert (principal.name if principal else None) == name


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ([], "is malformed at the document: Input should be"),
        ({}, "is malformed at tokens: Field required"),
        ({"tokens": []}, "holds no token"),
        ({"tokens": [{"name": "a", "token": "secret-1"}]}, "is malformed at tokens.0.role: Field required"),
        ({"tokens": [{**ANNA, "extra": "secret-1"}]}, "is malformed at tokens.0.extra"),
        ({"tokens": [{**ANNA, "token": " "}]}, "is malformed: the token of 'anna' is empty"),
        ({"tokens": [{**ANNA, "name": ""}]}, "is malformed: a token has an empty name"),
        ({"tokens": [{**ANNA, "role": "king"}]}, "is malformed: the token of 'anna' has the unknown role 'king'"),
        ({"tokens": [ANNA, {**ANNA, "name": "bob"}]}, "is malformed: the token of 'bob' is given to someone else too"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it_and_no_token(tmp_path: Path, document: object, complaint: str) -> None:
    path = write(tmp_path / "tokens.json", document)
    with pytest.raises(ConfigurationError) as caught:
        TokenBook.load(path)
    text = str(caught.value)
    assert text.startswith(f"the token file {path} ")
    assert complaint in text
    assert "\n" not in text
    assert "t-anna" not in text
    assert "secret-1" not in text


def test_a_missing_file_and_a_directory_are_one_line_too(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            TokenBook.load(path)


@pytest.mark.parametrize(
    ("role", "meets"),
    [("viewer", {"viewer"}), ("operator", {"viewer", "operator"}), ("admin", {"viewer", "operator", "admin"}), ("internal", {"internal"})],
)  # fmt: skip
def test_viewers_operators_and_admins_are_a_ladder_and_the_others_stand_alone(role: str, meets: set[str]) -> None:
    principal = Principal(name="x", role=role)
    assert {
        wanted for wanted in ("viewer", "operator", "admin", "internal", "website") if principal.has(wanted)
    } == meets
