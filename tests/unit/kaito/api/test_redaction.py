"""What is left out of what is kept: a canary in every place in which secrets are found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaito.api.redaction import REDACTED, harmless, redacted
from kaito.runtime.recording.codec import canonical

CANARY = "c4n4ry-0f-thirty-two-characters--"


@pytest.mark.parametrize(
    "value",
    [
        {"apiVersion": "v1", "kind": "Secret", "data": {"anything": CANARY}},
        {"apiVersion": "v1", "kind": "Secret", "stringData": {"anything": CANARY}},
        {"items": [{"kind": "Secret", "data": {"anything": CANARY}}]},
        {"password": CANARY},
        {"clientSecret": CANARY},
        {"access_token": CANARY},
        {"auths": {"registry.example.com": {"auth": CANARY}}},
        {"env": [{"name": "HF_TOKEN", "value": CANARY}]},
        {"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": CANARY}]},
        {"headers": {"Authorization": f"Bearer {CANARY}"}},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": f'{{"a": "{CANARY}"}}'}}},
        f"https://example.com/data?sv=2024&sig={CANARY}&se=2027",
        f"https://example.com/data?X-Amz-Signature={CANARY}",
        f"https://example.com/data?X-Amz-Security-Token={CANARY}",
        f"https://someone:{CANARY}@example.com/data",
        f"https://{CANARY}@example.com/data",
        f"Bearer {CANARY}",
        f"401 for Authorization: Bearer {CANARY}",
        f'curl -H "authorization: basic {CANARY}"',
        f"--token={CANARY}",
        f"hub_token: {CANARY}",
        f"hub_token: '{CANARY}'",
        f'{{"hub_token": "{CANARY}"}}',
        f"PASSWORD={CANARY}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"eyJhbGciOiJSUzI1NiJ9.{CANARY}.{CANARY}",
        f"hf_{CANARY.replace('-', '')}",
    ],
)
def test_no_secret_is_kept(value: Any) -> None:
    seen = json.dumps(redacted(value))
    assert CANARY not in seen
    assert CANARY.replace("-", "") not in seen
    assert REDACTED in seen


@pytest.mark.parametrize(
    "value",
    [
        {"imagePushSecret": "registry", "imagePullSecrets": ["registry"]},
        {"secret": {"secretName": "registry", "optional": True}},
        {"max_tokens": 16, "eos_token": "</s>", "pad_token_id": 0},
        "max_new_tokens: 16\neos_token: </s>",
        "--credentials=/mnt/push-secret/.dockerconfigjson",
        "https://example.com/data?version=3#sha256=0123",
        {"env": [{"name": "PORT", "value": "5000"}]},
        {"spec": {"serviceAccountName": "kaito-tuning", "automountServiceAccountToken": False}},
        {"kind": "ConfigMap", "data": {"training_config.yaml": "LoraConfig: {r: 8}"}},
        "TLS: the certificate's signatory is unknown",
        ["a", 1, None, True, 0.5],
    ],
)
def test_what_is_no_secret_stays_as_it_is(value: Any) -> None:
    assert redacted(value) == value


def test_a_text_stays_yaml() -> None:
    assert redacted("a:\n  hub_token: abc\n  b: 1") == f"a:\n  hub_token: {REDACTED}\n  b: 1"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_twice_is_once(value: Any) -> None:
    assert redacted(redacted(value)) == redacted(value)


@given(st.from_regex(r"[a-z_]{0,8}(token|sig|password)[=:] ?[!-~]{0,20}", fullmatch=True))
def test_twice_is_once_where_there_are_secrets(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


_NAMES = (
    *("kind", "Secret", "data", "name", "value", "HF_TOKEN", "MY_KEY", "PASSPHRASE", "credentials", "api_key", "sig"),
    *("auth", "\u017fignature", "to\u212aen"),
)
_MARKS = (
    "Bearer ",
    "Basic ",
    "https://",
    "a:b@",
    "=",
    ": ",
    "-",
    " ",
    "kubectl.kubernetes.io/last-applied-configuration",
)
_LONG = "abcdefghijklmnopqrstu"
_SHAPES = (
    *(f"{prefix}{_LONG}" for prefix in ("hf_", "ghp_", "github_pat_", "glpat-", "xoxb-", "sk-", "")),
    *("eyJhbGciOi", ".abcdefgh.", "AKIAABCDEFGHIJKLMNOP", "-----BEGIN PRIVATE KEY-----"),
)
_PIECES = st.sampled_from((*_NAMES, *_MARKS, *_SHAPES))
_TEXT = st.lists(_PIECES, min_size=1, max_size=4).map("".join)
_OBJECTS = st.recursive(
    _TEXT | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300)
@given(_OBJECTS)
def test_what_is_harmless_at_a_glance_is_so_to_the_last_word(value: Any) -> None:
    for text in (canonical(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        assert not harmless(text) or redacted(value) == value


@pytest.mark.parametrize("escaped", [r'{"p\u0061ssword":"abc"}', r'{"a":"\u0042earer abcdefgh"}'])
def test_what_is_written_with_escapes_is_looked_at(escaped: str) -> None:
    assert not harmless(escaped)
    assert redacted(json.loads(escaped)) != json.loads(escaped)


def test_what_clusters_are_full_of_is_harmless() -> None:
    claim = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": "ws0", "labels": {"a": "b"}}}
    assert harmless(canonical(claim))
    spec = {"automountServiceAccountToken": False, "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}
    assert harmless(canonical({"spec": spec, "status": {"stages": [{"name": "tokenizer", "duration": "2s"}]}}))
