"""What openapi.yaml cannot say in a schema: how the strings with a `format` of ours are made. Loaded by schemathesis.

A pattern in openapi.yaml is necessary: what breaks it is refused. A format is what is sufficient, too: what these strategies make is taken.
"""
from urllib.parse import unquote

import idna
import schemathesis
from hypothesis import strategies as st

LABEL = st.from_regex(r"\A[a-z0-9_]([a-z0-9_\-]{0,10}[a-z0-9_])?\Z")
# The last label begins with a letter, so that the name is not all digits. `xn--` would have to be valid Punycode.
TOP = st.from_regex(r"\A[a-z][a-z0-9]{0,8}\Z")
ASCII_NAME = st.builds(lambda labels, top: ".".join([*labels, top]), st.lists(LABEL, max_size=4), TOP).filter(lambda name: "xn--" not in name)
# Letters that IDNA takes as they are.
UNICODE_NAME = st.builds(lambda label, top: f"{label}.{top}", st.text("äéöüñçαβγδжщ", min_size=1, max_size=8), TOP)
LONG_NAME = st.just(".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61]))  # 253 bytes
DOMAIN = st.one_of(ASCII_NAME, ASCII_NAME.map(str.upper), UNICODE_NAME, LONG_NAME)
# Only this machine: mail that waits in the tested daemon may be given such a next hop, and a test never calls anybody else.
HOST = st.one_of(st.just("localhost"), st.ip_addresses(v=4, network="127.0.0.0/8").map(str), st.just("IPv6:::1"), st.just("IPv6:0:0:0:0:0:0:0:1"))

schemathesis.openapi.format("domain-name", DOMAIN)
schemathesis.openapi.format(
    "next-hop", st.builds(lambda host, port: f"[{host}]" + (f":{port}" if port else ""), HOST, st.none() | st.integers(1, 65535))
)
schemathesis.openapi.format("plain-text", st.one_of(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=400), st.text("äß漢🚢 x", max_size=60)))
schemathesis.openapi.format("etag-list", st.just("*") | st.lists(st.from_regex(r'\A(W/)?"[!#-~]{0,8}"\Z'), min_size=1, max_size=3).map(", ".join))


@schemathesis.hook
def filter_body(context, body) -> bool:
    """No list with a domain twice: JSON schema cannot forbid it, and the daemon does."""
    if isinstance(body, dict) and isinstance(body.get("relay_domains"), list):
        names = [str(row.get("domain")).lower() for row in body["relay_domains"] if isinstance(row, dict)]
        return len(names) == len(set(names))
    return True


@schemathesis.hook
def filter_path_parameters(context, path_parameters) -> bool:
    """No name in other letters than ours that is a domain name all the same: the tool takes whatever our strategy does not make for wrong."""
    name = unquote(str((path_parameters or {}).get("domain", "")))
    if name.isascii() or set(name) <= set("äéöüñçαβγδжщ.abcdefghijklmnopqrstuvwxyz0123456789"):
        return True
    try:
        idna.encode(name, uts46=True)
    except idna.IDNAError:
        return True
    return False
