"""Sentences with marks."""

from marked_up import sentences

from dragoman.server.text.markup.html import parse_html
from dragoman.server.text.markup.markdown import parse_markdown
from dragoman.server.text.markup.passages import Passage


def cut(source: str) -> list[Passage]:
    [block] = parse_html(source).blocks
    return sentences(block)


def marks(source: str) -> list[list[tuple[int, int, str, str]]]:
    def written(span: tuple[int, int] | None) -> str:
        return "" if span is None else source[slice(*span)]

    return [[(m.start, m.end, written(m.before), written(m.after)) for m in p.marks] for p in cut(source)]


def sources(source: str) -> list[str]:
    return [source[slice(*passage.source)] for passage in cut(source)]


def test_what_is_around_a_sentence_is_not_its_own() -> None:
    """It lies between passages, and goes out as it stands."""
    source = "<p><b><i>It is one.</i></b> <!-- x --> <u>This is two</u>.</p>"

    assert sources(source) == ["It is one.", "<u>This is two</u>."]
    assert marks(source) == [[], [(0, 11, "<u>", "</u>")]]


def test_a_mark_across_sentences_begins_in_one_and_ends_in_another() -> None:
    """No tag is doubled, and the sentence between has none."""
    source = "Here <b>it begins. Here it goes on. Here it ends</b> now."

    assert marks(source) == [[(5, 15, "<b>", "")], [], [(0, 12, "", "</b>")]]
    assert sources(source) == ["Here <b>it begins.", "Here it goes on.", "Here it ends</b> now."]


def test_a_mark_that_begins_with_a_sentence_and_ends_in_a_later_one() -> None:
    """Its beginning lies before the first, and only its end is moved."""
    source = "Here it is. <b>This is bold. And this</b> is not."

    assert marks(source) == [[], [], [(0, 8, "", "</b>")]]


def test_what_stands_at_the_edge_behind_a_tag_of_a_passage_is_its_own() -> None:
    """Else the tag could not be moved."""
    source = "<b><!-- a -->Save</b> it now<i> <!-- b --></i>."

    assert sources(source) == ["<b><!-- a -->Save</b> it now<i> <!-- b --></i>."]
    assert marks("<!-- a --><b>Save</b> it")[0] == [(0, 4, "<b>", "</b>")]


def test_white_space_among_the_marks_of_a_sentence_is_kept_beside_it() -> None:
    """Else two sentences would touch."""
    source = "Here <b>it ends. </b>This is <i>new</i>. <u><!-- x --> That</u> too."

    heads = [[source[slice(*span)] for span in passage.head] for passage in cut(source)]
    tails = [[source[slice(*span)] for span in passage.tail] for passage in cut(source)]

    assert sources(source)[0] == "Here <b>it ends. </b>"
    assert (heads, tails) == ([[], [], [" "]], [[" "], [], []])
    assert marks(source)[2] == [(0, 4, "<u>", "</u>"), (0, 0, "<!-- x -->", "")]


def test_nested_ends_come_in_order() -> None:
    """The mark that began first is the outer one, in the sentence that both end in."""
    source = "So <b>we <i>go. We stop</i> here</b> now."

    assert marks(source) == [[(3, 9, "<b>", ""), (6, 9, "<i>", "")], [(0, 12, "", "</b>"), (0, 7, "", "</i>")]]


def test_atoms_are_found_in_their_sentence() -> None:
    """At their places in it."""
    first, second = cut("Use <code>a</code> here. Then <code>b</code> there.")

    assert [atom.span for atom in first.atoms] == [(4, 5)]
    assert [second.text[slice(*atom.span)] for atom in second.atoms] == ["b"]


def test_white_space_that_is_more_than_a_space_is_known() -> None:
    """Also within and beside tags; in Markdown a line's beginning may mean something, so there it is not."""
    source = "<p>\n Here\n  <b>it\tis  bold</b>.\n</p>"
    [passage] = cut(source)
    [markdown] = [passage for block in parse_markdown("One\ntwo").blocks for passage in sentences(block)]

    assert passage.text == "Here it is bold."
    assert [(each.at, each.written) for each in passage.breaks(source)] == [
        ((4, 5), "\n  "),
        ((7, 8), "\t"),
        ((10, 11), "  "),
    ]
    assert cut("<p>Here it is.</p>")[0].breaks("<p>Here it is.</p>") == []
    assert markdown.breaks("One\ntwo") == []
