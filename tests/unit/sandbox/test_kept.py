"""What the sandbox keeps over a restart: the last word of each thing, in the order in which they came, and not for ever."""

from pathlib import Path

from sandbox.kept import Kept


def test_the_file_has_the_last_word_of_each_thing_where_it_first_came(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    for name, value in [("b", 1), ("a", 2), ("b", 3)]:
        kept.put("number", name, value)
    kept.put("word", "a", "two")
    kept.close()
    again = Kept(tmp_path / "kept")
    assert list(again.all("number", int).items()) == [("b", 3), ("a", 2)]
    again.forget("number")
    assert (again.all("number", int), again.all("word", str)) == ({}, {"a": "two"})


def test_only_the_newest_of_each_kind_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept", limit=2)
    for value in range(4):
        kept.put("number", f"{value}", value)
    kept.put("word", "a", "two")
    kept.close()
    again = Kept(tmp_path / "kept", limit=2)
    assert (again.all("number", int), again.all("word", str)) == ({"2": 2, "3": 3}, {"a": "two"})
