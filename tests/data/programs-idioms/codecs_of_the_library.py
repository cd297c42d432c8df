# expect: accepted
# The bytes are CPython 3.11's.
import codecs

EXPECTED = {
    "cp1251": (b"\xef\xf0\xe8\xe2\xe5\xf2", "привет"),
    "cp866": (b"\xaf\xe0\xa8\xa2\xa5\xe2", "привет"),
    "koi8-r": (b"\xd0\xd2\xc9\xd7\xc5\xd4", "привет"),
    "iso8859-2": (b"\xbe\xec\xb9", "žěš"),
    "iso8859-15": (b"\xa4", "€"),
    "mac_roman": (b"\x8e", "é"),
    "gb18030": (b"\xd6\xd0", "中"),
    "gbk": (b"\xd6\xd0", "中"),
    "big5": (b"\xa4\xa4", "中"),
    "shift_jis": (b"\x82\xa0", "あ"),
    "euc_jp": (b"\xa4\xa2", "あ"),
    "iso2022_jp": (b'\x1b$B$"\x1b(B', "あ"),
    "euc_kr": (b"\xb0\xa1", "가"),
    "utf-7": (b"+AOk-", "é"),
    "hz": (b"~{VP~}", "中"),
}
for name, (data, text) in EXPECTED.items():
    assert text.encode(name) == data and data.decode(name) == text, name
assert codecs.encode("Hello", "rot13") == "Uryyb"
assert codecs.encode(b"\xab", "hex") == b"ab"
assert codecs.encode(b"a", "base64") == b"YQ==\n"
assert codecs.decode(codecs.encode(b"a" * 99, "zlib"), "zlib") == b"a" * 99
print("ok")
