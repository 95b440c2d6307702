"""JSON without the secrets in it, so that it can be kept and shown. Pure.

What is replaced depends only on the value itself, so that two values that were equal are equal still, and deciding from
what is kept decides what was decided: whatever hashes an object for later hashes it as it is here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

REDACTED: Final = "REDACTED"
_BEFORE: Final = r"[\w.-]{0,40}"
#: Names under which a secret is kept, in JSON, YAML, URLs and arguments; not max_tokens, eos_token or imagePushSecret.
_NAME: Final = (
    rf"(?:{_BEFORE}(?:password|passwd|passphrase|private[_-]?key|api[_-]?key|access[_-]?key(?:[_-]?id)?|signature"
    r"|client[_-]?secret|secret[_-]?key)"
    rf"|(?:{_BEFORE}(?:access|api|auth|bearer|hf|hub|id|personal|refresh|security|session)[_-]?)?token"
    r"|secret|authorization|auth|cookie|sig)"
)
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)
#: Of variables also those that only end so, as GITHUB_TOKEN does.
_SECRET_VARIABLE: Final = re.compile(r"\w*(?:TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?|KEY|PASSPHRASE)", re.IGNORECASE)
#: ``name: value``, ``name = value``, ``"name": "value"`` in a text, and ``name=value`` in a URL.
#: What is after the name of a scheme is the secret.
_ASSIGNED: Final = re.compile(
    rf"(?<![\w.])({_NAME})([\"']?\s*[:=]\s*[\"']?(?:(?:Basic|Bearer)\s+)?)([^\s\"'&,;{{}}\[\]]+)", re.IGNORECASE
)
_SHAPES: Final = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON Web Token
    r"|\bhf_\w{20,}|\bgh[opsru]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bsk-[\w-]{20,}|\bxox[a-z]-[\w-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=Bearer )[\w.~+/=-]+|(?<=Basic )[\w+/=-]{8,}",
    re.DOTALL,
)
_USER: Final = re.compile(r"(?<=://)[^\s/@\"']+@")
#: A name is over, and a text may follow it.
_ENDS: Final = r'(?!":\s*[^"\s])[^a-z0-9_]'
_OF_KEYS: Final = "|".join(rf"(?<={what}key)|(?<={what}[_-]key)" for what in ("access", "api", "private"))
#: What is in every JSON text, in small letters, of which something is secret, and how it goes on there.
_TRACES: Final = {
    trace: re.compile(trace + more)
    for trace, more in {
        "pass": f"(?:wd|word|phrase){_ENDS}",
        "token": _ENDS,
        "secret": f"(?:[_-]?key)?{_ENDS}",
        "auth": f"(?:orization)?{_ENDS}",
        "cookie": _ENDS,
        "sig": f"(?:nature)?{_ENDS}",
        "key": rf"""(?:(?:{_OF_KEYS})(?:[_-]?id)?{_ENDS}|"(?!\s*:))""",
        "credential": f"s?{_ENDS}",
        "gh": "[opsru]_",
        **dict.fromkeys(("eyj", "hf_", "github_pat_", "glpat-", "sk-", "xox", "akia", "-----begin"), ""),
        **dict.fromkeys(("bearer ", "basic ", "@", "last-applied-configuration"), ""),
    }.items()
}
#: Characters of a text that is remembered.
_SHORT: Final = 256
#: kubectl's copy of the whole object.
_COPY: Final = "kubectl.kubernetes.io/last-applied-configuration"


def redacted(value: Any) -> Any:
    """The same value with ``REDACTED`` in the place of what is secret: the data of a Secret, what is kept under the
    name of one (passwords, tokens, signatures of URLs), users in URLs, and what has the shape of one."""
    if isinstance(value, str):
        return _short(value) if len(value) <= _SHORT else _text(value)
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    if isinstance(value, dict):
        return _mapping(value)
    return value


def harmless(text: str) -> bool:
    """Whether ``redacted`` would surely change nothing of what this JSON says; it is known much sooner."""
    small = text.casefold()
    return "\\u" not in small and not any(trace in small and rest.search(small) for trace, rest in _TRACES.items())


def _mapping(value: dict[str, Any]) -> dict[str, Any]:
    whole = ("data", "stringData") if value.get("kind") == "Secret" else ()
    made = {key: _hidden(item) if key in whole else _field(key, item) for key, item in value.items()}
    name = value.get("name")
    if isinstance(name, str) and isinstance(value.get("value"), str) and _SECRET_VARIABLE.fullmatch(name):
        made["value"] = REDACTED  # an environment variable, or a header
    return made


def _field(key: str, item: Any) -> Any:
    if key == "managedFields":
        return item  # names of fields, and who has them
    if key == _COPY or (isinstance(item, str) and item and _names_secret(key)):
        return REDACTED
    return redacted(item)


@lru_cache(maxsize=4096)
def _names_secret(key: str) -> bool:
    return _SECRET_NAME.fullmatch(key) is not None


def _hidden(item: Any) -> Any:
    return dict.fromkeys(item, REDACTED) if isinstance(item, dict) else REDACTED


@lru_cache(maxsize=16384)
def _short(text: str) -> str:
    """The same few texts are in every object."""
    return _text(text)


def _text(text: str) -> str:
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(lambda found: f"{found[1]}{found[2]}{REDACTED}", text)
        text = _USER.sub(f"{REDACTED}@", text)
    return _SHAPES.sub(REDACTED, text)
