"""Addresses that a webhook must not have, each in one of the ways in which filters have been got round elsewhere."""

from __future__ import annotations

_LOOPBACK = ["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.01"]
_LOOPBACK += ["127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"]
_LOOPBACK += ["localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "0", "0.0.0.0", "[::]", "[0000::1]", "[::1%25lo]"]
_INSIDE = ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.1.1", "100.64.0.1"]
_INSIDE += ["169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "[fd00:ec2::254]"]
_INSIDE += [
    "[fe80::1]",
    "[fc00::1]",
    "[fec0::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
]
_INSIDE += ["[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001::1]", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1"]
_INSIDE += ["224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "[ff02::1]", "192.0.0.1", "[2001:db8::1]"]
_INSIDE += ["100.100.100.200", "168.63.129.16"]
_PUBLIC = ["8.8.8.8", "[2606:4700::1111]", "134744072", "0x08080808"]
"""Not inside, and no host name either."""

WHOLE = [
    "",
    "x",
    "//example.com/",
    "/hook",
    "example.com/hook",
    "http://example.com/hook",
    "HTTP://EXAMPLE.COM/",
    "https://",
]
WHOLE += [
    "https:/example.com",
    "https:example.com",
    "https:///hook",
    "https://?x",
    "https://#x",
    "https://.",
    "https://..",
]
WHOLE += [
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "dict://example.com/",
    "javascript:alert(1)",
]
WHOLE += [
    "data:text/plain,x",
    "ws://example.com/",
    "jar:https://example.com!/",
    "https+unix://example.com/",
    "ldap://x.cn/",
]
WHOLE += ["https://example.com:80/", "https://example.com:22/", "https://example.com:8443/", "https://example.com:0/"]
WHOLE += [
    "https://example.com:65536/",
    "https://example.com:-1/",
    "https://example.com:x/",
    "https://example.com:４４３/",
]
WHOLE += [
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://:@127.0.0.1/",
    "https://example.com@127.0.0.1/",
]
WHOLE += [
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com#part",
    "https://[::1",
]
WHOLE += [
    "https://例子.测试/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "https://127。0。0。1/",
    "https://１２７.0.0.1/",
    "https://xn--fsqu00a.invalid/",
]
WHOLE += ["https://no-such-host.invalid/", "https://intranet/", "https://example..com/", f"https://{'a' * 300}.com/"]
WHOLE += [
    "https://exa mple.com/",
    "https://example.com\r\nX-Evil: 1/",
    "https://example.com\0.cn/",
    "https://" + "a" * 2100,
]
WHOLE += ["https://-example-.invalid/", "https://%6c%6f%63%61%6c%68%6f%73%74/", "https://127.0.0.1%2f@example.invalid/"]

URLS = WHOLE + [f"https://{host}/hook" for host in [*_LOOPBACK, *_INSIDE, *_PUBLIC]]
URLS += [f"https://{host}:443/hook" for host in ("127.0.0.1", "[::1]", "169.254.169.254")]
"""Refused when they are saved."""

TURNED = ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1", "0.0.0.0", "100.64.0.1"]
TURNED += ["64:ff9b::a9fe:a9fe", "fe80::1%eth0", "224.0.0.1", "2002:7f00:1::"]
"""What a name may turn to between the saving and the call."""
