"""What is read of a page of help: headings and paragraphs as sentences, no code, nothing of the frame around them."""

from icefall_discrete.text.help_pages import sentences_in

PAGE = """<!DOCTYPE html><html><head><title>Frame</title><script>var p = "<p>no</p>";</script></head><body>
<nav>Contents</nav><h1 id="a">Barra <span class="emph">Dise&ntilde;o</span></h1>
<p class="paragraph">Pulse   la
tecla.<br>Espere&hellip; &iquest;Contin&uacute;a? <a href="x">S&iacute;</a>!</p>
<p>SUM(A1;B2) = 3</p><p>text/shared/01/help.xhp</p><p></p><div>outside</div><p>never ended <b>here
"""


def test_sentences_in_their_order():
    assert sentences_in(PAGE) == [
        "Barra Diseño",
        "Pulse la tecla.",
        "Espere… ¿Continúa?",
        "Sí!",
        "never ended here",
    ]


def test_what_is_no_page_has_no_sentence():
    assert sentences_in("") == [] and sentences_in("<p") == [] and sentences_in("plain words") == []
