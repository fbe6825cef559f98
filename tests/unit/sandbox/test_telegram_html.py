"""Telegram's HTML: what it shows, and the exact words it refuses with. Vectors follow the Bot API's known behaviour."""

from typing import Any

import pytest

from sandbox.systems.telegram.html import EntityError, Parsed, is_web_address, parse_html, utf16_length


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("", "", []),
        ("просто текст", "просто текст", []),
        ("&lt;&gt;&amp;&quot;&laquo;&#60;&#x3c;", '<>&"&laquo;<<', []),
        ("a & b", "a & b", []),
        ("➡️ ➡️<i>➡️ ➡️</i>", "➡️ ➡️➡️ ➡️", [{"type": "italic", "offset": 5, "length": 5}]),
        ("🏟<b>x</b>", "🏟x", [{"type": "bold", "offset": 2, "length": 1}]),
        ("<B>a</b>", "a", [{"type": "bold", "offset": 0, "length": 1}]),
        ("<b>a</>", "a", [{"type": "bold", "offset": 0, "length": 1}]),
        ("<b></b>", "", []),
        (
            "<b>a<i>b</i></b>",
            "ab",
            [{"type": "bold", "offset": 0, "length": 2}, {"type": "italic", "offset": 1, "length": 1}],
        ),
        (
            '<a href="https://example.org/?a=1&amp;b=2">x</a>',
            "x",
            [{"type": "text_link", "offset": 0, "length": 1, "url": "https://example.org/?a=1&b=2"}],
        ),
        ('<a href="http://localhost:8085/x">x</a>', "x", []),
        ('<span class="tg-spoiler">x</span>', "x", [{"type": "spoiler", "offset": 0, "length": 1}]),
        ("<blockquote expandable>x</blockquote>", "x", [{"type": "expandable_blockquote", "offset": 0, "length": 1}]),
        (
            '<pre><code class="language-python">x</code></pre>',
            "x",
            [
                {"type": "code", "offset": 0, "length": 1, "language": "python"},
                {"type": "pre", "offset": 0, "length": 1},
            ],
        ),
    ],
)
def test_text_and_entities_come_out_as_telegram_shows_them(
    source: str, text: str, entities: list[dict[str, Any]]
) -> None:
    assert parse_html(source) == Parsed(text=text, entities=entities)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("🏟 🏟&lt;<abacaba", "Unclosed start tag at byte offset 13"),
        ("🏟 🏟&lt;<abac aba>", 'Unsupported start tag "abac" at byte offset 13'),
        ("🏟 🏟&lt;<abac>", 'Unsupported start tag "abac" at byte offset 13'),
        ("🏟 🏟&lt;<i   =aba>", 'Empty attribute name in the tag "i" at byte offset 13'),
        (
            "🏟 🏟&lt;<i    aba>",
            'Expected equal sign in declaration of an attribute of the tag "i" at byte offset 13',
        ),
        ("🏟 🏟&lt;<i    aba  =  ", 'Unclosed start tag "i" at byte offset 13'),
        ("🏟 🏟&lt;<i    aba  =  190azAz-.,", "Unexpected end of name token at byte offset 27"),
        ('🏟 🏟&lt;<i    aba  =  "&lt;&gt;&quot;>', "Unclosed start tag at byte offset 13"),
        ("🏟 🏟&lt;</", "Unexpected end tag at byte offset 13"),
        ("🏟 🏟&lt;<b></b></", "Unexpected end tag at byte offset 20"),
        ("🏟 🏟&lt;<i>a</i   ", "Unclosed end tag at byte offset 17"),
        ("🏟 🏟&lt;<i>a</em   >", 'Unmatched end tag at byte offset 17, expected "</i>", found "</em>"'),
        ("<b>a", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<b><i>a</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("1 <2> 3", 'Unsupported start tag "2" at byte offset 2'),
        ("line<br>line", 'Unsupported start tag "br" at byte offset 4'),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        (
            "&#xDFDF;",
            (
                "Text contains invalid Unicode characters after decoding HTML entities,"
                " check for unmatched surrogate code units"
            ),
        ),
    ],
)
def test_broken_markup_is_refused_in_telegrams_own_words(source: str, words: str) -> None:
    with pytest.raises(EntityError) as refused:
        parse_html(source)
    assert str(refused.value) == words


def test_length_counts_utf_16_units() -> None:
    assert [utf16_length(text) for text in ("", "я", "🍫", "e\u0301")] == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("address", "accepted"),
    [
        ("https://example.org/a?b=c#d", True),
        ("http://127.0.0.1:8085/admin", True),
        ("example.org", True),
        ("tg://user?id=1", True),
        ("http://localhost:8085/admin", False),
        ("http://notifier/admin", False),
        ("javascript:alert(1)", False),
        ("", False),
    ],
)
def test_an_address_counts_only_with_a_host_that_has_a_dot(address: str, accepted: bool) -> None:
    assert is_web_address(address) is accepted
