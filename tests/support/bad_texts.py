"""Texts that have made trouble elsewhere, as tables: what looks alike or is not seen, rare letters, and
injections."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

MARKS = "\u0301\u0323\u0336"
UNSEEN = {
    **{
        f"bidi U+{ord(c):04X}": f"甲{c}乙" for c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"
    },
    **{
        f"zero width U+{ord(c):04X}": f"路{c}灯" for c in "\u200b\u200c\u200d\u2060\ufeff\u180e\u034f\u115f\u3164\u00ad"
    },
    **{f"space U+{ord(c):04X}": f"一{c}二" for c in "\u00a0\u1680\u2000\u2007\u202f\u205f\u3000\u2028\u2029\u0085"},
    **{f"control U+{ord(c):04X}": f"a{c}b" for c in "\x01\x07\x08\x0b\x0c\x1b\x7f\x80\x9f"},
    **{f"tag U+{n:X}": f"旗{chr(n)}" for n in (0xE0001, 0xE0041, 0xE007F, 0xFE00, 0xFE0F, 0xE0100)},
    "trojan source": "是\u202e }\u2066if (管理员)\u2069 \u2066 否",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "composed Hangul": "\ud55c",
    "decomposed Hangul": "\u1112\u1161\u11ab",
    "compatibility ideograph": "\uf9d8\u5f8b",
    "fullwidth": "ＡＢＣ１２３",
    "ligature": "ﬀ ﷺ ㎏ ①",
    "Ångström, three ways": "\u212b \u00c5 A\u030a",
    "Zalgo": "".join(letter + MARKS * 20 for letter in "停水"),
    "a thousand marks on one letter": "a" + "\u0301" * 1000,
    "all but ten thousand marks": "a" + MARKS[0] * 9_999,
    "right to left": "שלום مرحبا 你好",
    "leading and trailing blanks": "  x\t\r\n ",
    "only marks": "\u0301" * 3 + "x",
}
"""Stored as sent: a text is evidence, nothing is normalised, and nothing of it is cut."""

_LETTERS = {"a": "\u0430", "b": "\u042c", "e": "\u0435", "o": "\u03bf", "0": "\u0660", "1": "\uff11", "-": "\u2010"}


def lookalikes(code: str) -> dict[str, str]:
    """What a code could be mistaken for. Codes are ASCII, so that there is one way to write each."""
    letter = next((one for one in code if one in _LETTERS), code[0])
    found = {
        "homoglyph": code.replace(letter, _LETTERS.get(letter, "\uff21"), 1),
        "fullwidth": "".join(chr(ord(one) + 0xFEE0) for one in code),
        "zero width": f"{code[:1]}\u200b{code[1:]}",
        "bidi": f"\u202e{code}",
        "mark": f"{code}\u0301",
        "blank before": f" {code}",
        "line end after": f"{code}\n",
        "no-break space after": f"{code}\u00a0",
        "soft hyphen": f"{code[:1]}\u00ad{code[1:]}",
        "byte order mark": f"\ufeff{code}",
    }
    return {name: text for name, text in found.items() if text != code}


_BLOCKS = {
    "unified": (0x4E00, 0x9FFF),
    "A": (0x3400, 0x4DBF),
    "B": (0x20000, 0x2A6DF),
    "C": (0x2A700, 0x2B739),
    "D": (0x2B740, 0x2B81D),
    "E": (0x2B820, 0x2CEA1),
    "F": (0x2CEB0, 0x2EBE0),
    "I": (0x2EBF0, 0x2EE5D),
    "G": (0x30000, 0x3134A),
    "H": (0x31350, 0x323AF),
    "compatibility": (0xF900, 0xFAD9),
    "compatibility supplement": (0x2F800, 0x2FA1D),
    "radicals": (0x2E80, 0x2FD5),
    "strokes": (0x31C0, 0x31E3),
    "private use": (0xE000, 0xF8FF),
    "private use, plane 15": (0xF0000, 0xFFFFD),
    "private use, plane 16": (0x100000, 0x10FFFD),
    "bopomofo": (0x3105, 0x312F),
    "Yi": (0xA000, 0xA48C),
    "Tangut": (0x17000, 0x187F7),
    "Khitan": (0x18B00, 0x18CD5),
    "Nüshu": (0x1B170, 0x1B2FB),
}
"""China's letters, and those that names were written with before Unicode had them."""
_EMOJI = """👩‍👩‍👧‍👦 👨🏿‍💻 🏳️‍🌈 🏴‍☠️ 🇨🇳 🇹🇼 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👍🏽 1️⃣ ☎️ ☎︎ ❤️‍🔥 🫠 🪿 🧑‍🦽‍➡️ 🐦‍🔥 🤝🏻 👁️‍🗨️
‼️ 🈚️ 🀄 🅰️ 🇦 🏿 🫱🏻‍🫲🏿 🚰 🔥 🆘"""
_NAMES = """𠮷野家 㼆 䶮 𬎆 𫖯 𪚥𪚥 龘龘 𱁬 𰻝𰻝面 葛󠄀城 辻󠄁 邉󠄁 堃 喆 㵪 𬱖 䲜 𡒄 阿卜杜拉·买买提 བཀྲ་ཤིས ᠮᠣᠩᠭᠣᠯ
ئۇيغۇر ꆈꌠ 곽 Đặng Škoda Øþ"""


def rare() -> Iterator[tuple[str, str]]:
    """Rare letters and names, by what they are: eight of every block, emoji of several code points, names."""
    for block, (first, last) in _BLOCKS.items():
        for number in range(8):
            place = first + (last - first) * number // 7
            yield f"{block} U+{place:X}", chr(place)
    for number, emoji in enumerate(_EMOJI.split()):
        yield f"emoji {number}", emoji
    for number, name in enumerate(_NAMES.split()):
        yield f"name {number}", name


RARE = dict(rare())

_SQL = """' OR '1'='1|'; DROP TABLE events; --|" OR ""="|1; DELETE FROM events|') UNION SELECT NULL,version()--
|' AND 1=CAST
((SELECT current_user) AS int)--|'||(SELECT pg_sleep(9))||'|$$;SELECT 1;$$|\\'; SELECT 1--|%' ESCAPE '|_%_
|admin'/*|*/ OR 1=1
|x' AND pg_sleep(9)--|E'\\047 OR 1=1|1 OR 1=1|0x27 OR 1=1|' HAVING 1=1--|' GROUP BY 1--
|'; COPY events TO PROGRAM 'id'--
|'; SET ROLE postgres--|{"$gt": ""}|{"$where": "sleep(9)"}|'; return true; var x='|true, $where: '1 == 1'"""
_LDAP = """*)(uid=*))(|(uid=*¦*)(|(password=*))¦admin)(&)¦x)(!(uid=x))¦\\2a\\28\\29¦' or count(/*)=1 or 'a'='b
¦//user[1=1]"""
_SHELL = """; id|& id|&& id||id|$(id)|`id`|%0Aid|<(id)|> /tmp/x|../../bin/id|${IFS}id|; ping -c 9 127.0.0.1 ;|\nid\n
|!!|~root|*|{id,}|^id^|-rf /|--help|-oProxyCommand=id|/dev/tcp/127.0.0.1/1|() { :;}; id"""
_TEMPLATE = """{{7*7}}|${7*7}|<%= 7*7 %>|#{7*7}|*{7*7}|{%raw%}|{{''.__class__.__mro__}}|{{config}}
|{{request.application}}
|{0.__class__}|{appeal.__init__.__globals__}|%(levelname)s|%s%n%x|$name|${jndi:ldap://x/a}|@{7*7}|[[7*7]]|{#x#}
|{{=7}}|%{7*7}"""
_WEB = """<script>alert(1)</script>|"><img src=x onerror=alert(1)>|<svg/onload=alert(1)>|javascript:alert(1)
|' onmouseover='x
|<iframe src=//x>|<!--|]]>|<![CDATA[x]]>|&lt;script&gt;|&#x3c;script&#x3e;|<a href="data:text/html,x">
|</textarea><script>
|<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>&y;
|<x xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include/></x>
|<style>@import'//x'</style>|<base href=//x>|\\u003cscript\\u003e|<math><mtext></table>|<b>粗</b>"""
_PATHS = """../../etc/passwd|..\\..\\windows\\win.ini|/etc/passwd|C:\\boot.ini|file:///etc/passwd|....//....//x
|%2e%2e%2f|..%c0%af
|..%252f|\\\\server\\share|con|nul.txt|.htaccess|/proc/self/environ|php://filter|data:,x"""
_FORMULAS = """=1+1|=cmd|' /C calc'!A0|+1+1|-1+1|@SUM(A1)|=HYPERLINK("http://x","y")|=WEBSERVICE("http://x")
|=IMPORTXML("http://x")
|\t=1+1|\r=1+1|＝1+1|＋1|－1|＠x|=DDE("x";"y")|'=1+1|"=1+1"|;=1+1|=1+1,=2|-2+3+cmd|+x|@x|=|-|="""
_LINES = """a\r\nSet-Cookie: x=1|a\nb|a\rb|{"level":"error","event":"forged"}|\n2026-11-23 [error] forged
|\x1b[31mred\x1b[0m
|\x1b]0;title\x07|\b\b\b\bx|a\u2028{"event":"forged"}|","event":"forged","x":"|%0d%0aX-Evil: 1|\r\n\r\n<html>
|\v\fx|a\x85b"""


def _split(kind: str, text: str, by: str) -> Iterator[tuple[str, str]]:
    """Line ends before a separator only keep the table readable."""
    for number, one in enumerate(text.replace(f"\n{by}", by).split(by)):
        if one:
            yield f"{kind} {number}", one


INJECTIONS = {
    **dict(_split("SQL", _SQL, "|")),
    **dict(_split("LDAP", _LDAP, "¦")),
    **dict(_split("shell", _SHELL, "|")),
    **dict(_split("template", _TEMPLATE, "|")),
    **dict(_split("web", _WEB, "|")),
    **dict(_split("path", _PATHS, "|")),
    **dict(_split("formula", _FORMULAS, "|")),
    **dict(_split("line", _LINES, "|")),
}
"""Data, wherever they come in and go out."""


def is_nfc(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)
