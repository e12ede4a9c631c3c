"""Secrets of inputs are hidden in what White Rabbit answers, in each form in which a server may write them."""

from __future__ import annotations

import base64
import copy
import html
import json
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_whiterabbit.client.hiding import HIDDEN, Hiding, Withholding
from airflow_provider_whiterabbit.client.wire.answers import error_of
from airflow_provider_whiterabbit.client.wire.messages import Request, Response

KEY = "AbCd3fGh1J+/kLmN0pQrStUv"
URL = f"https://evm-mainnet.example.org/v2/{KEY}?a=b&c=é'\"<"

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "JSON with escaped slashes": lambda value: json.dumps(value).replace("/", "\\/"),
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False),
    "a component of a URL": lambda value: quote(value, safe=""),
    "a part of a URL": quote,
    "a part of a URL in lower case": lambda value: quote(value, safe="").replace("%2F", "%2f").replace("%3A", "%3a"),
    "a form": quote_plus,
    "HTML": html.escape,
    "twice": lambda value: f"{value} and {value}",
}


@pytest.mark.parametrize("secret", [URL, KEY, "Bearer " + KEY, "short", "two words and é"])
@pytest.mark.parametrize("form", FORMS)
def test_forms(secret: str, form: str) -> None:
    """Each form is hidden in outputs and errors, and what is around it is not."""
    hiding, text = Hiding([secret]), f"before {FORMS[form](secret)} after"
    for hidden in (hiding.text(text), hiding.error(text)):
        assert HIDDEN in hidden
        assert hidden.startswith("before ")
        assert hidden.endswith(" after")
        assert not shared(hidden, secret, min(8, len(secret)))


@pytest.mark.parametrize(
    "spelt",
    [
        KEY.encode().hex(),
        "".join(f"\\u{ord(char):04x}" for char in KEY),
        "".join(f"%{ord(char):02X}" for char in KEY),
        KEY[::-1],
        " ".join(KEY),
    ],
    ids=["hexadecimal", "escapes of JSON", "escapes of URLs", "reversed", "spaced"],
)
def test_spellings_that_are_not_hidden(spelt: str) -> None:
    """The documentation says that these spellings stay, so that nobody relies on more than there is."""
    assert Hiding([KEY]).error(spelt) == spelt


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_base64(before: str) -> None:
    """A header that a server shows as it was sent, in base64, does not show the secret."""
    hidden = Hiding([KEY]).error(base64.b64encode(f"{before}{KEY}".encode()).decode())
    for shift in range(len(hidden)):
        piece = hidden[shift : shift + (len(hidden) - shift) // 4 * 4].replace("*", "A")
        assert KEY[3:11] not in base64.b64decode(piece).decode(errors="replace")


@pytest.mark.parametrize(
    "part",
    [
        URL.partition("://")[2],
        URL[12:40],
        URL[:-8],
        f"/v2/{KEY}",
        KEY,
        KEY[4:],
        KEY.lower(),
        KEY[:8],
        quote(KEY[6:], safe=""),
    ],
)
def test_parts_in_errors(part: str) -> None:
    """An error shows no eight characters of a secret in a row, as in an address without its scheme, or cut."""
    hidden = Hiding([URL]).error(f"cannot reach {part}")
    assert not shared(hidden, URL.partition("://")[2], 8)
    assert hidden.startswith("cannot reach ")


def test_errors_without_secrets() -> None:
    """Other texts stay as they are, other addresses too."""
    text = "execution reverted at https://api.invalid/v2: insufficient funds 0x5c"
    assert Hiding([URL]).error(text) == text
    assert Hiding().error(URL) == URL
    assert Hiding(["abcd"]).error("abcd") == "abcd"  # too short, as for Airflow's masker


def test_key_of_an_address_in_an_output() -> None:
    """In outputs, whole secrets and the keys of addresses are hidden; other parts of them can be data."""
    hiding = Hiding([URL])
    assert hiding.text(f"{KEY.partition('+')[0]}") == KEY.partition("+")[0]
    assert hiding.text("https://evm-mainnet.example.org/") == f"https://{'evm-mainnet.example.org'}/"
    assert hiding.text("q kLmN0pQrStUv") == "q kLmN0pQrStUv"
    long = "0123456789abcdef0123"
    assert Hiding([f"wss://user:{long}@node.example.org/x"]).text(f"key {long}") == "key ***"


def test_records() -> None:
    """Outputs and errors are hidden wherever they stand; what the client needs of a record stays."""
    record = {
        "id": "COMPLETED-1",
        "status": "COMPLETED",
        "completed": True,
        "totalUsage": 1.5,
        "module": "COMPLETED",
        "error": {"message": f"no {URL[10:40]}", "list": [URL]},
        "output": {"message": f"at {URL[10:18]}", "deep": [[{f"{URL}": [URL, 7, None]}]], "status": "COMPLETED"},
        "runStages": [{"id": "s", "status": "COMPLETED", "error": URL[8:30], "output": URL}],
        "callback": {"url": "https://x", "lastError": f"could not say {URL}"},
    }
    hidden = Hiding([URL, "COMPLETED"]).data(copy.deepcopy(record))
    assert hidden == {
        **record,
        "error": {"message": "no ***", "list": ["***"]},
        "output": {"message": f"at {URL[10:18]}", "deep": [[{"***": ["***", 7, None]}]], "status": "***"},
        "runStages": [{"id": "s", "status": "COMPLETED", "error": "***", "output": "***"}],
        "callback": {"url": "https://x", "lastError": "could not say ***"},
    }


@pytest.mark.parametrize("error", [f"İ {URL[10:40]}", f"{URL[10:40]} {'x' * 200_000} {URL[10:40]}"], ids=["İ", "long"])
def test_every_error_is_compared(error: str) -> None:
    """Neither the length of an error nor a letter that is longer in lower case lets parts of a secret through."""
    hidden = Hiding([URL]).error(error)
    assert not shared(hidden, URL, 8)
    assert hidden.count(HIDDEN) == error.count(URL[10:40])


def test_names_of_members_in_errors() -> None:
    """An error may show a part of an address as the name of a member."""
    hidden = Hiding([URL]).data({"error": {URL[8:40]: "no route"}, "output": {URL[8:40]: 1}})
    assert hidden == {"error": {HIDDEN: "no route"}, "output": {URL[8:40]: 1}}


@pytest.mark.parametrize("name", ["id", "status", "module", "createdAt"])
def test_texts_where_words_are_due(name: str) -> None:
    """A text in the place of an id, a status or a time is an error: messages quote it."""
    hidden = Hiding([URL]).data({name: f"FAILED: cannot reach {URL[8:40]}"})
    assert hidden == {name: f"FAILED: cannot reach {HIDDEN}"}


def test_numbers() -> None:
    """A secret of digits may come back as a number."""
    record = {"totalUsage": 90210.5, "error": [902105, True, None], "output": {"pin": 902105, "other": 9021055}}
    assert Hiding(["902105", "90210.5"]).data(record) == {
        "totalUsage": 90210.5,
        "error": [HIDDEN, True, None],
        "output": {"pin": HIDDEN, "other": 9021055},
    }


@pytest.mark.parametrize("data", [URL, [URL], None, 5, {"output": URL}], ids=str)
def test_other_json(data: Any) -> None:
    """Any JSON value can be an answer."""
    assert URL not in json.dumps(Hiding([URL]).data(data), ensure_ascii=False)


def test_deep_nesting() -> None:
    """The nesting of an answer has no limit."""
    deep: Any = URL
    for _ in range(50_000):
        deep = [deep]
    hidden = Hiding([URL]).data({"output": deep})["output"]
    while isinstance(hidden, list):
        (hidden,) = hidden
    assert hidden == HIDDEN


def test_no_pickle() -> None:
    """What holds a secret can't be pickled or copied, and shows it nowhere."""
    hiding = Hiding([URL])
    for holder in (hiding, Request("POST", "/v1", URL.encode())):
        for copying in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="can't be pickled"):
                copying(holder)
        assert KEY not in repr(holder)
    assert not copy.copy(Hiding())
    assert KEY not in repr(Response(400, {"x-echo": URL}, URL.encode(), 0.0))  # in a traceback with local variables


REFUSALS = [
    {"errors": [{"code": "BAD_INPUT", "message": f"the address {URL} is wrong"}]},
    {"message": f"{URL[12:]} is wrong", "error": "Bad Request", "statusCode": 400},
    {"message": [f"no {quote(URL, safe='')}"], "error": "Bad Request"},
    f"<html>{html.escape(URL)}",
]


@pytest.mark.parametrize("hiding", [Hiding([URL]), Withholding()], ids=["hiding", "withholding"])
@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_refusals(refusal: Any, hiding: Hiding) -> None:
    """The error of a refused request shows no secret, but its code; without the secret it shows no text at all."""
    body = (refusal if isinstance(refusal, str) else json.dumps(refusal)).encode()
    error = error_of(Request("GET", "/v1"), Response(400, {}, hiding.body(body), 0.0))
    assert not shared(str(error), URL, 8)
    if isinstance(refusal, dict):
        assert error.is_from_api
        assert error.codes in (("BAD_INPUT",), ("Bad Request",))
        assert ("not shown" in str(error)) is isinstance(hiding, Withholding)


def shared(text: str, secret: str, length: int) -> list[str]:
    """Return what a text shares with a secret: pieces of a length."""
    return [secret[i : i + length] for i in range(len(secret) - length + 1) if secret[i : i + length] in text]
