"""Pages and messages stay within the providers' limits, lose nothing and keep the order."""

from __future__ import annotations

import html as html_module
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.delivery.model import Entry
from notifier.delivery.next_message import must_combine, pack
from notifier.messages.channels import CHANNELS
from notifier.messages.document import Document, Line, Page, Section, Span, text_of
from notifier.messages.layout import mail, slack, telegram
from sandbox.systems.slack.blocks import text_length
from tests.unit.notifier.factories import waiting

TEXTS = st.text(alphabet=st.sampled_from('ab<>&"*_`~ щ😀|'), min_size=1, max_size=900)
SPANS = st.builds(
    Span,
    TEXTS,
    st.sampled_from(["plain", "bold", "italic", "code", "strike"]),
    st.sampled_from([None, 'https://runbooks.example/a?b=1&c="2"']),
)
LINES = st.lists(SPANS, min_size=1, max_size=3).map(tuple)
DOCUMENTS = st.builds(
    lambda title, lines: Document(title=title, sections=(Section(lines=tuple(lines), bullets=True),)),
    LINES,
    st.lists(LINES, max_size=25),
)
MARK = "возможно, повторно"


def everything(pages: tuple[Page, ...]) -> str:
    """The text of all pages, without line borders (long lines are cut)."""
    return "".join(text_of(line) for page in pages for line in page.lines)


@given(DOCUMENTS)
def test_every_page_fits_with_its_marks_and_no_text_is_lost(document: Document) -> None:
    whole = "".join(text_of(line) for line in document.flatten())
    for layout in (channel.layout for channel in CHANNELS.values()):
        pages = layout.pages(document)
        assert everything(pages) == whole
        assert all(layout.cost(page, MARK) <= layout.limit for page in pages)


@given(DOCUMENTS)
def test_telegrams_html_is_within_4096_units_and_reads_back_as_the_text(document: Document) -> None:
    for page in CHANNELS["telegram"].layout.pages(document):
        marked, bare = telegram.compose([(page, MARK)])
        assert len(marked.encode("utf-16-le")) // 2 <= 4096
        assert html_module.unescape(re.sub(r"<[^>]*>", "", marked)) == bare


@given(DOCUMENTS)
def test_slacks_sections_are_within_3000_characters(document: Document) -> None:
    for page in CHANNELS["slack"].layout.pages(document):
        blocks, text = slack.compose([(page, MARK)])
        assert all(text_length(block) <= 3000 for block in blocks)
        assert len(text) <= 3000


CANDIDATES = st.lists(
    st.builds(
        lambda document, mark, alone: (document, mark, alone),
        DOCUMENTS,
        st.sampled_from([None, MARK]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@given(CANDIDATES, st.booleans(), st.sampled_from(["telegram", "slack"]))
def test_a_message_keeps_order_fits_and_holds_whole_notices_beside_the_first(
    drawn: list[tuple[Document, str | None, bool]], combine: bool, channel: str
) -> None:
    layout = CHANNELS[channel].layout
    candidates = [
        Entry(waiting=waiting(index, alone=alone), pages=layout.pages(document), mark=mark, last=True)
        for index, (document, mark, alone) in enumerate(drawn)
    ]
    packed = pack(candidates, CHANNELS[channel], combine=combine)
    head = packed[0]
    assert head.pages
    assert head.pages == candidates[0].pages[: len(head.pages)]
    assert head.last == (len(head.pages) == len(candidates[0].pages))
    assert combine or len(packed) == 1
    assert list(packed[1:]) == candidates[1 : len(packed)]
    pages = [(page, entry.mark if index == 0 else None) for entry in packed for index, page in enumerate(entry.pages)]
    if channel == "telegram":
        assert len(telegram.compose(pages)[0].encode("utf-16-le")) // 2 <= 4096
    else:
        blocks, _ = slack.compose(pages)
        assert len(blocks) <= 50
        assert text_length(blocks) <= 13_200


def small(number: int, *, alone: bool = False) -> Entry:
    """A short notice."""
    page = Page(lines=((Span(f"order {number}"),),))
    return Entry(waiting=waiting(number, alone=alone, incident=None), pages=(page,), mark=None, last=True)


def test_many_small_notices_share_a_message_when_the_backlog_forces_it() -> None:
    packed = pack([small(number) for number in range(50)], CHANNELS["telegram"], combine=True)
    assert [entry.waiting.id for entry in packed] == list(range(50))


def test_a_notice_that_must_be_alone_is_alone() -> None:
    rules = CHANNELS["telegram"]
    assert len(pack([small(0, alone=True), small(1)], rules, combine=True)) == 1
    assert len(pack([small(0), small(1, alone=True)], rules, combine=True)) == 1


def test_the_backlog_forces_sharing_only_when_it_exceeds_patience_or_the_free_places() -> None:
    assert [must_combine(waiting=waiting, free=20, patience=3) for waiting in (1, 3, 4)] == [False, False, True]
    assert must_combine(waiting=2, free=1, patience=3) is True


def test_a_notice_of_several_pages_says_which_page_it_is() -> None:
    lines: list[Line] = [(Span(f"sku-{number} × 2"),) for number in range(700)]
    document = Document(title=(Span("Big", "bold"),), sections=(Section(lines=tuple(lines)),))
    pages = CHANNELS["telegram"].layout.pages(document)
    texts = [telegram.compose([(page, None)])[1] for page in pages]
    assert [text.splitlines()[0].rpartition(" ")[2] for text in texts] == [
        f"({n}/{len(pages)})" for n in range(1, len(pages) + 1)
    ]


def test_a_mail_has_a_subject_and_a_text() -> None:
    document = Document(title=(Span("Title", "bold"),), sections=(Section(lines=((Span("a <b>"),),)),))
    [page] = CHANNELS["mail"].layout.pages(document)
    assert mail.compose([(page, MARK)]) == (f"{MARK}: Title", f"{MARK}\nTitle\na <b>\n")


@pytest.mark.parametrize(
    "text",
    [
        "*b* _i_ ~s~ `c`",
        "<!here> <@U1> <!channel|x>",
        "@here #general :fire:",
        "> quoted",
        "https://evil.example/",
        "&lt;!here&gt;",
    ],
)
def test_slack_shows_what_a_text_holds_as_it_is_written(text: str) -> None:
    page = Page(lines=((Span("x: ", "bold"), Span(text)), (Span(text, "italic", "https://ours.example/i/1"),)))
    [block], fallback = slack.compose([(page, None)])
    assert block["elements"][0]["elements"] == [
        {"type": "text", "text": "x: ", "style": {"bold": True}},
        {"type": "text", "text": text},
        {"type": "text", "text": "\n"},
        {"type": "link", "url": "https://ours.example/i/1", "text": text, "style": {"italic": True}},
    ]
    assert "<" not in fallback


def test_a_person_whose_name_in_slack_is_no_id_is_named() -> None:
    page = Page(lines=((Span("Olga", handles=(("slack", "@olga"),)), Span("Ivan", handles=(("slack", "U0IVAN"),))),))
    [block], _ = slack.compose([(page, None)])
    assert block["elements"][0]["elements"] == [{"type": "text", "text": "Olga"}, {"type": "user", "user_id": "U0IVAN"}]
