"""Phones, coordinates, times, keys, JSON: values that are wrong or only look wrong, and what each comes to."""

from __future__ import annotations

from typing import Any

PHONES_TAKEN = {
    **dict.fromkeys(["138 0013 8000", "138-0013-8000", "+8613800138000", "008613800138000"], "13800138000"),
    **dict.fromkeys(["010-66555678", "+86 10 6655 5678", "86-10-66555678"[3:], "0086 10 66555678"], "1066555678"),
    **dict.fromkeys(["110", "12345", "95588", "400-810-1234", "8008101234", "+1 212 555 0100", "+852 2123 4567"], ""),
    **dict.fromkeys(
        ["00000000000", "11111111111", "12800138000", "1380013800", "138001380000", "86" * 5, "0" * 31], ""
    ),
    **dict.fromkeys(["+886 2 2345 6789", "+44 20 7946 0958", "+7 495 123 45 67", "010 6655 5678 8001"], ""),
}
"""As they are dialled, also by people whose number nobody here would expect; with the number that it is the same as."""

PHONES_REFUSED = [
    "",
    " ",
    "1",
    "12",
    "-138",
    "+",
    "++8613800138000",
    "138 0013 8000 x",
    "138.0013.8000",
    "(010)66555678",
]
PHONES_REFUSED += [
    "tel:13800138000",
    "13800138000;ext=1",
    "138\t0013",
    "138\n0013",
    "１３８００１３８０００",
    "٠١٢٣٤٥٦٧٨٩",
    "一三八〇〇一三",
]
PHONES_REFUSED += [
    "138\u200b00138000",
    "138\u00a00013",
    "0" * 33,
    "9" * 400,
    "1380013800O",
    "l3800138000",
    "1e11",
    "0x1f5",
]
PHONES_REFUSED += [
    "138,0013,8000",
    "138/0013",
    "#31#13800138000",
    "*86",
    "13800138000 ' OR 1=1",
    "+86–138",
    " 13800138000",
]
NO_PHONES = [13800138000, 1.38e10, True, [], ["13800138000"], {}, {"number": "13800138000"}]

_IDS = ["11010519491231002X", "110105194912310021", "11010519491231002x", "110105491231002", "440524188001010014"]
_IDS += ["110105199002300011", "110105209912310011", "000000000000000000", "11010519491231002Ⅹ", "81000019900101001X"]
_IDS += [
    "830000199001010013",
    "HA1234567",
    "M1234567(8)",
    "A123456789",
    "G12345678",
    "E1234567",
    "K123456(A)",
    "EA1234567",
]
_IDS += [
    "91110000100000000X",
    "110105 1949 1231 002X",
    "110105-19491231-002X",
    "１１０１０５１９４９１２３１００２Ｘ",
    "身份证号码不详",
]
IDS = [*_IDS, "9" * 18, "1" * 17, "1" * 19, "6217 0000 0000 0000 000", "川A·12345", "京A12345", "军字第0012345号"]
"""Numbers of documents, right and wrong, of old and foreign papers: no appeal is refused for one."""

MAILS_REFUSED = [
    "",
    "a",
    "@",
    "a@",
    "@b",
    "a b@c.cn",
    "a@b c",
    "a@b@c",
    "a\n@b.cn",
    "a" * 255 + "@b",
    " a@b.cn",
    "a@b.cn ",
]
WECHATS_REFUSED = ["", "short", "a" * 65, "öpenid", "open id", "o'--x1", "openid\n", "＿＿＿＿＿＿＿"]

POINTS: dict[str, tuple[Any, Any, str]] = {
    "nowhere": (0.0, 0.0, "OUTSIDE"),
    "nowhere, of other signs": (-0.0, -0.0, "OUTSIDE"),
    "almost nowhere": (1e-300, -1e-300, "OUTSIDE"),
    "the other way round": (39.9, 116.4, "REFUSED"),
    "the other way round, far north": (89.5, 40.0, "OUTSIDE"),
    "Shanghai": (121.47, 31.23, "OUTSIDE"),
    "Tianjin": (117.2, 39.13, "OUTSIDE"),
    "the sea": (124.0, 38.0, "OUTSIDE"),
    "the South Pole": (0.0, -90.0, "OUTSIDE"),
    "the North Pole": (180.0, 90.0, "OUTSIDE"),
    "the line of dates": (-180.0, 0.0, "OUTSIDE"),
    "west of Greenwich": (-116.4, 39.9, "OUTSIDE"),
    "south of the equator": (116.4, -39.9, "OUTSIDE"),
    "inside": (116.5, 39.5, "INSIDE"),
    "a whole number": (116, 39, "ANY"),
    "many digits": (116.500000000000001, 39.500000000000001, "INSIDE"),
    "beyond the east": (180.0001, 39.9, "REFUSED"),
    "beyond the west": (-180.0001, 39.9, "REFUSED"),
    "beyond the north": (116.4, 90.0001, "REFUSED"),
    "beyond the south": (116.4, -90.0001, "REFUSED"),
    "microdegrees": (116_400_000, 39_900_000, "REFUSED"),
    "metres": (12_957_000.0, 4_852_000.0, "REFUSED"),
    "degrees and minutes": (11_624.5, 3_954.2, "REFUSED"),
    "a text": ("116.4", "39.9", "REFUSED"),
    "a text with a direction": ("116.4E", "39.9N", "REFUSED"),
    "degrees with signs": ("116°24'", "39°54'", "REFUSED"),
    "decimal commas": ("116,4", "39,9", "REFUSED"),
    "a pair": ([116.4, 39.9], None, "REFUSED"),
    "true": (True, True, "REFUSED"),
    "nothing": ("", "", "REFUSED"),
    "half east": (116.4, None, "REFUSED"),
    "half north": (None, 39.9, "REFUSED"),
    "neither": (None, None, "ANY"),
    "an object": ({}, {}, "REFUSED"),
    "huge": (1e308, 1e308, "REFUSED"),
    "2^53": (2**53, 2**53, "REFUSED"),
}
DATUMS = ["WGS84", "GCJ02", "BD09"]
DATUMS_REFUSED = ["CGCS2000", "", "wgs84", "EPSG:4326", "GCJ-02", "NAD27", "Krasovsky", "火星坐标", 4326, True, []]

TIMES: dict[str, str] = {
    "2026-11-22T12:00:00+08:00": "2026-11-22T12:00:00.000+08:00",
    "2026-11-22T04:00:00Z": "2026-11-22T12:00:00.000+08:00",
    "2026-11-22t04:00:00z": "2026-11-22T12:00:00.000+08:00",
    "2026-11-22T04:00:00-00:00": "2026-11-22T12:00:00.000+08:00",
    "2026-11-21T14:00:00-14:00": "2026-11-22T12:00:00.000+08:00",
    "2026-11-22T18:00:00+14:00": "2026-11-22T12:00:00.000+08:00",
    "2026-11-22T09:30:00+05:30": "2026-11-22T12:00:00.000+08:00",
    "2026-11-22T12:00:00.9+08:00": "2026-11-22T12:00:00.900+08:00",
    "2026-11-22T12:00:00.123456789+08:00": "2026-11-22T12:00:00.123+08:00",
    "2026-11-22T12:00:00.999999999+08:00": "2026-11-22T12:00:00.999+08:00",
    "2026-11-21T23:59:59.999+08:00": "2026-11-21T23:59:59.999+08:00",
    "2026-11-22T00:00:00+08:00": "2026-11-22T00:00:00.000+08:00",
    "2024-02-29T12:00:00+08:00": "2024-02-29T12:00:00.000+08:00",
    "2000-02-29T12:00:00+08:00": "2000-02-29T12:00:00.000+08:00",
    "1999-12-31T16:00:00Z": "2000-01-01T00:00:00.000+08:00",
    "2016-12-31T23:59:59Z": "2017-01-01T07:59:59.000+08:00",
    "1988-07-01T12:00:00+08:00": "1988-07-01T12:00:00.000+08:00",
    "1988-07-01T12:00:00+09:00": "1988-07-01T11:00:00.000+08:00",
    "1986-05-04T02:30:00+08:00": "1986-05-04T02:30:00.000+08:00",
    "1991-09-15T01:30:00+09:00": "1991-09-15T00:30:00.000+08:00",
    "1900-01-01T00:00:00+08:00": "1900-01-01T00:00:00.000+08:00",
    "1970-01-01T00:00:00Z": "1970-01-01T08:00:00.000+08:00",
    "1969-12-31T23:59:59.999Z": "1970-01-01T07:59:59.999+08:00",
    "2001-09-09T01:46:40Z": "2001-09-09T09:46:40.000+08:00",
}
"""Real moments, odd as they look, and how each is kept: always +08:00, also in the summers of 1986 to 1991."""
FUTURE = ["2026-12-24T12:00:00+08:00", "2027-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "2100-02-28T00:00:00+08:00"]
FUTURE += ["2199-12-31T23:59:59+08:00", "2200-06-01T00:00:00Z"]

KEYS_REFUSED = [
    "",
    " ",
    "k" * 201,
    "k" * 300,
    "k" * 5000,
    "a b",
    "a\tb",
    "钥匙",
    "café",
    "k\u200b",
    "\u00a0",
    "🔑",
]
VERSIONS_REFUSED = [
    "1",
    'W/"1"',
    '"x"',
    '"1", "2"',
    '"-1"',
    '"01"',
    "",
    '"1000000000"',
    '"1.0"',
    "'1'",
    '"1" ',
    '""',
    "**",
]

BODIES = {
    "UTF-8, a byte that none has": b'"\xff"',
    "UTF-8, five bytes": b'"\xf8\x88\x80\x80\x80"',
    "UTF-8, beyond the last plane": b'"\xf4\x90\x80\x80"',
    "UTF-8, a long NUL": b'"\xc0\x80"',
    "UTF-8, a long slash": b'"\xe0\x80\xaf"',
    "UTF-8, a long quote": b'"\xc0\xa2"',
    "UTF-8, half a surrogate": b'"\xed\xa0\x80"',
    "CESU-8": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "UTF-8, cut": b'"\xe5\x81"',
    "UTF-8, cut in the fourth": b'"\xf0\x9f\x98"',
    "UTF-8, a lone second byte": b'"\x80"',
    "UTF-8, a first after a first": b'"\xe5\xe5\x81\x9c"',
    "GBK": '"路灯不亮"'.encode("gbk"),
    "GB18030": '"𠮷"'.encode("gb18030"),
    "Big5": '"停水"'.encode("big5"),
    "Shift JIS": '"停水"'.encode("shift_jis"),
    "EUC-KR": '"단수"'.encode("euc_kr"),
    "Windows-1252": '"é"'.encode("cp1252"),
    "UTF-16 within UTF-8": '"停"'.encode("utf-16-le"),
    "a raw NUL": b'"\0"',
    "a raw line end": b'"\n"',
    "a raw escape": b'"\x1b"',
}
WHOLE = {
    **{
        f"all of it {c}": '{"content": "停水"}'.encode(c)
        for c in ("utf-16", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig")
    },
    **{f"all of it {c}": '{"content": "公園"}'.encode(c) for c in ("gbk", "big5", "shift_jis")},
    "EBCDIC": '{"content": "x"}'.encode("cp037"),
    "compressed": b"\x1f\x8b\x08\0\0\0\0\0\0\3",
    "XML": b"<content>x</content>",
    "a form": b"content=x&kind=HELP",
    "YAML": b"content: x",
    "MessagePack": b"\x81\xa7content\xa1x",
    "lines of JSON": b'{"content": "x"}\n{"content": "y"}',
    "JSON5": b"{content: 'x',}",
    "a comma too many": b'{"content": "x",}',
    "a comment": b'{"content": "x"} // y',
    "cut": b'{"content": "x',
    "a text": b'"',
    "brackets that do not match": b'{"content": ["x"}',
    "padding before": b"\0\0{}",
    ")]}'": b")]}',{}",
}
"""No JSON in UTF-8: MALFORMED_JSON."""

NUMBERS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e400",
    b"-1e400",
    b"1E+999",
    b"9007199254740993",
    b"1" + b"0" * 400,
]
NUMBERS += [b"-9007199254740993", b"18446744073709551616", b"9" * 5000]
NO_NUMBERS = [
    b"01",
    b"+1",
    b".5",
    b"1.",
    b"0x1",
    b"1_000",
    b"1e",
    b"--1",
    "１".encode(),
    b"\xe2\x88\x9e",
    b"inf",
    b"-NaN",
]
NESTED = {
    "arrays": lambda depth: b"[" * depth + b"]" * depth,
    "objects": lambda depth: b'{"a":' * depth + b"1" + b"}" * depth,
    "by turns": lambda depth: b'[{"a":' * (depth // 2) + b"1" + b"}]" * (depth // 2),
    "in a field": lambda depth: b'{"content":' + b"[" * depth + b"]" * depth + b"}",
    "in an unknown field": lambda depth: b'{"content":"x","x":' + b"[" * depth + b"]" * depth + b"}",
    "behind a text of brackets": lambda depth: (
        b'{"content":"' + b"[" * 99 + b'","x":' + b"[" * depth + b"]" * depth + b"}"
    ),
    "not closed": lambda depth: b"[" * depth,
}
DEPTHS = [40, 500, 20_000]
