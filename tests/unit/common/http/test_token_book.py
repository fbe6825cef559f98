"""Tokens come from one file, and a wrong file is one clear line without a token in it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.http import Principal, TokenBook, token_entry
from tests.support.clocks import ManualClock


def write(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


ANNA = {"name": "anna", "token": "t-anna", "role": "operator"}
OF_NOTHING = hashlib.sha256(b"").hexdigest()
"""What `sha256sum` says where the variable with the token was not set."""


def test_a_revoked_token_is_nobodys_and_said_to_be_revoked(tmp_path: Path) -> None:
    site = {"name": "site", "token": "t-site", "role": "website"}
    book = TokenBook.load(write(tmp_path / "tokens.json", {"tokens": [ANNA, {**site, "revoked": True}]}))
    assert (book.authenticate("t-site"), book.digests_of("website")) == (None, frozenset())
    assert book.revoked() == {hashlib.sha256(b"t-site").digest()}
    book.read(json.dumps({"tokens": [ANNA, site]}).encode())
    assert book.authenticate("t-site") == Principal(name="site", role="website")
    assert book.revoked() == frozenset()


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
        ({"tokens": [{"name": "a", "role": "admin", "sha256": OF_NOTHING}]}, "the token of 'a' is empty"),
        (
            {"tokens": [{**ANNA, "sha256": "ab" * 32}]},
            "is malformed at tokens.0: Value error, needs either token or sha256",
        ),
        ({"tokens": [{"name": "a", "role": "admin"}]}, "is malformed at tokens.0: Value error, needs either token or"),
        ({"tokens": [{"name": "a", "role": "admin", "sha256": "secret-1"}]}, "is malformed at tokens.0.sha256"),
        ({"tokens": [{**ANNA, "expires_at": "2026-12-01T00:00:00"}]}, "is malformed at tokens.0.expires_at"),
        ({"tokens": [{**ANNA, "name": ""}]}, "is malformed: a token has an empty name"),
        ({"tokens": [{**ANNA, "name": "an\0na"}]}, "is malformed: a token has a name that cannot be read"),
        ({"tokens": [{**ANNA, "name": "\u200b"}]}, "is malformed: a token has a name that cannot be read"),
        ({"tokens": [{**ANNA, "name": "a" * 201}]}, "a name that cannot be read, or is longer than 200"),
        ({"tokens": [{**ANNA, "role": "king"}]}, "is malformed: the token of 'anna' has the unknown role 'king'"),
        ({"tokens": [ANNA, {**ANNA, "name": "bob"}]}, "is malformed: the token of 'bob' is given to someone else too"),
        ({"tokens": [ANNA, {**ANNA, "name": "bob", "token": "t-anna\n"}]}, "the token of 'bob' is given to someone"),
        ({"tokens": [{**ANNA, "scopes": []}]}, "is malformed at tokens.0.scopes: List should have at least 1 item"),
        ({"tokens": [{**ANNA, "scopes": None}]}, "at tokens.0.scopes: Value error, name the scopes, or leave this out"),
        ({"tokens": [{**ANNA, "scopes": "*:admin"}]}, "is malformed at tokens.0.scopes"),
        ({"tokens": [{**ANNA, "scopes": ["till:orders"]}]}, "the token of 'anna': there is no scope 'till:orders'"),
        ({"tokens": [{**ANNA, "scopes": ["tips:orders"]}]}, "the token of 'anna': there is no scope 'tips:orders'"),
        ({"tokens": [{**ANNA, "scopes": ["tips:tips:write"]}]}, "there is no scope 'tips:tips:write'"),
        ({"tokens": [{**ANNA, "scopes": ["*:orders", "*"]}]}, "there is no scope '*': it is service:group or"),
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


def test_a_digest_stands_for_its_token_and_a_source_for_its_website() -> None:
    digest = hashlib.sha256(b"t-anna").hexdigest()
    entries = [
        {"name": "anna", "role": "operator", "sha256": digest.upper()},
        {"name": "shop", "role": "website", "token": "t-shop", "source": "website:kz"},
    ]
    book = TokenBook()
    book.read(json.dumps({"tokens": entries}).encode())
    assert book.authenticate("t-anna") == Principal(name="anna", role="operator")
    assert book.authenticate("t-shop") == Principal(name="shop", role="website", source="website:kz")
    assert book.authenticate(digest) is None
    assert book.digests_of("operator") == {bytes.fromhex(digest)}


def test_one_token_as_text_and_as_digest_is_given_twice(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"t-anna").hexdigest()
    path = write(tmp_path / "tokens.json", {"tokens": [ANNA, {"name": "bob", "role": "viewer", "sha256": digest}]})
    with pytest.raises(ConfigurationError, match="the token of 'bob' is given to someone else too"):
        TokenBook.load(path)


@pytest.mark.parametrize("written", ["t-anna\n", "t-anna\r\n", " t-anna\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_of_any_editor_lets_in_whom_it_names(written: str, mark: bytes) -> None:
    book = TokenBook()
    document = json.dumps({"tokens": [{**ANNA, "token": written}]}, indent=1).replace("\n", "\r\n")
    book.read(mark + document.encode())
    assert book.from_header("Bearer t-anna") == Principal(name="anna", role="operator")


def test_a_token_is_nobody_s_from_the_moment_it_expires(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    path = write(tmp_path / "tokens.json", {"tokens": [{**ANNA, "expires_at": "2026-12-01T03:00:10+03:00"}]})
    book = TokenBook.load(path, clock=clock)
    clock.move_to(clock.now() + timedelta(seconds=9))
    assert book.authenticate("t-anna") is not None
    clock.move_to(clock.now() + timedelta(seconds=1))
    assert book.authenticate("t-anna") is None


def test_another_content_replaces_the_tokens_and_a_broken_one_none() -> None:
    book = TokenBook([("anna", "t-anna", "operator")])
    for broken in (
        b"",
        b'{"tokens": [',
        b'{"tokens": []}',
        b'{"tokens": [{"name": "x", "role": "king", "token": "t"}]}',
    ):
        with pytest.raises(ConfigurationError):
            book.read(broken)
        assert book.authenticate("t-anna") is not None
    book.read(json.dumps({"tokens": [{"name": "bob", "role": "viewer", "token": "t-bob"}]}).encode())
    assert [book.authenticate(token) for token in ("t-anna", "t-bob")] == [None, Principal(name="bob", role="viewer")]


@pytest.mark.parametrize(
    ("scopes", "opened"),
    [
        (["refunds:refunds"], {"refunds:refunds", "refunds:refunds:read"}),
        (["refunds:refunds:read"], {"refunds:refunds:read"}),
        (["*:refunds"], {f"{service}:refunds{read}" for service in ("orchestrator", "refunds") for read in ("", ":read")}),
        (["*:tips:read", "notifier:alerts"], {"tips:tips:read", "notifier:alerts", "notifier:alerts:read"}),
    ],
)  # fmt: skip
def test_a_scope_opens_its_group_and_what_only_reads_it(scopes: list[str], opened: set[str]) -> None:
    book = TokenBook()
    book.read(json.dumps({"tokens": [{**ANNA, "scopes": scopes}]}).encode())
    assert book.authenticate("t-anna") == Principal(name="anna", role="operator", scopes=frozenset(opened))


def test_a_file_with_a_scope_that_is_none_leaves_the_scopes_of_before() -> None:
    book = TokenBook()
    book.read(json.dumps({"tokens": [{**ANNA, "scopes": ["tips:admin"]}]}).encode())
    with pytest.raises(ConfigurationError, match="there is no scope 'tips:everything'"):
        book.read(json.dumps({"tokens": [{**ANNA, "scopes": ["tips:admin", "tips:everything"]}]}).encode())
    anna = book.authenticate("t-anna")
    assert anna is not None
    assert [anna.within(scope) for scope in ("tips:admin", "tips:admin:read", "tips:tips")] == [True, True, False]


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


def entry_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = token_entry.main(arguments)
    said = capsys.readouterr()
    return code, said.out.strip(), said.err.strip()


def test_the_command_makes_a_token_that_its_entry_knows_and_cannot_send(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "refunds-token"
    given = (str(file), "--name", "refunds", "--scope", "orchestrator:refunds:read")
    code, entry, _ = entry_of(*given, capsys=capsys)
    token = file.read_text()
    assert (code, file.stat().st_mode & 0o777, len(token)) == (0, 0o600, 32)
    assert token not in entry
    assert entry_of(*given, capsys=capsys) == (0, entry, "")  # repeated: the token that is there
    book = TokenBook()
    book.read(json.dumps({"tokens": [json.loads(entry)]}).encode())
    known = book.authenticate(token)
    assert known is not None
    assert (known.name, known.role, known.within("orchestrator:refunds:read")) == ("refunds", "internal", True)
    code, line, _ = entry_of(str(file), capsys=capsys)
    assert line == f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    for leaked in (line, line.removeprefix("sha256:"), entry):
        assert book.authenticate(leaked) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--role", "boss"), "the unknown role 'boss'"),
        (("--scope", "tips:teas"), "there is no scope"),
    ],
)
def test_the_command_refuses_an_entry_that_a_service_would_refuse(
    more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, entry, error = entry_of(str(tmp_path / "token"), "--name", "anna", *more, capsys=capsys)
    assert (code, entry) == (2, "")
    assert said in error


def test_the_command_says_in_one_line_that_it_cannot_write_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, entry, error = entry_of(str(tmp_path / "nowhere" / "token"), capsys=capsys)
    assert (code, entry) == (2, "")
    assert "No such file or directory" in error
