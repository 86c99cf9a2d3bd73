import pytest

from icefall_discrete.base.text_files import NotUtf8, numbered_lines, read_text

CHINESE = "a1 而对楼市成交抑制作用最大的限购\na2 也成为地方政府的眼中钉\n"


def test_lines_end_with_a_newline_only(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\r\n two\u2028three\x85\x1c\n   \nfour".encode())
    assert list(numbered_lines(path)) == [(1, "one"), (3, " two\u2028three\x85\x1c"), (5, "four")]


@pytest.mark.parametrize(
    "text, codec, said",
    [
        (CHINESE, "gbk", "(line 1): it seems to be GBK; convert it, for example with iconv -f GBK -t UTF-8."),
        (CHINESE, "utf-16", "(line 1): it seems to be UTF-16; "),
        ("hello\nworld\n", "utf-16-le", "(line 1): it seems to be UTF-16; "),
        ("hello\nworld\n", "utf-32", "it seems to be UTF-32; "),
        ("one\nle café était déjà là\n", "latin-1", "(line 2): it seems to be Latin-1; "),
        ("größe über Äpfel\n", "cp1252", "it seems to be Latin-1; convert it, for example with iconv -f LATIN1 "),
    ],
)
def test_another_encoding_is_named_with_the_file(text, codec, said, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(codec))
    with pytest.raises(NotUtf8) as caught:
        read_text(path)
    assert str(caught.value).startswith(f"{path} is not in UTF-8 ") and said in str(caught.value)
