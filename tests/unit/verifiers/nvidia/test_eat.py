# SPDX-License-Identifier: Apache-2.0
"""Detached tokens: one form is an answer of the service, and what NVIDIA's tools write it into is looked through."""

from __future__ import annotations

import json

import pytest

from tests import nvidia_vectors as vectors
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.eat import (
    MAX_ANSWER_BYTES,
    MAX_FILE_BYTES,
    find_answers,
    parse_answer,
)

ANSWER = [["JWT", "a.b.c"], {"GPU-0": "d.e.f"}]
OTHER = [["JWT", "g.h.i"], {"SWITCH-0": "j.k.l"}]


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def reason(read: object, data: bytes) -> Reason:
    assert callable(read)
    with pytest.raises(VerificationError) as caught:
        read(data)
    return caught.value.reason


def test_an_answer() -> None:
    answer = parse_answer(encoded(ANSWER))
    assert answer.overall == "a.b.c"
    assert dict(answer.devices) == {"GPU-0": "d.e.f"}


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        "a.b.c",
        ["JWT", "a.b.c"],
        [["JWT", "a.b.c"]],
        [["JWT", "a.b.c"], {}],
        [["JWT", "a.b.c"], []],
        [["JWT", "a.b.c"], {"GPU-0": "d.e.f"}, {}],
        [["JWT", 1], {"GPU-0": "d.e.f"}],
        [["CWT", "a.b.c"], {"GPU-0": "d.e.f"}],
        [["JWT", "a.b.c", "x"], {"GPU-0": "d.e.f"}],
        {"detached_eat": ANSWER},
    ],
)
def test_other_forms(value: object) -> None:
    assert reason(parse_answer, encoded(value)) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"eyJ.e30.x",
        b'[["JWT", "a.b.c"], {"GPU-0": "d", "GPU-0": "e"}]',
        b'[["JWT", NaN], {"GPU-0": "d"}]',
        b"[" * 13 + b"]" * 13,
        b"[" * 200_000,
        b'{"a":' * 40_000,
    ],
)
def test_what_is_no_json(text: bytes) -> None:
    for read in (parse_answer, find_answers):
        assert reason(read, text) is Reason.TOKEN_INVALID


def test_bounds() -> None:
    assert reason(parse_answer, b" " * (MAX_ANSWER_BYTES + 1)) is Reason.TOO_LARGE
    assert reason(find_answers, b" " * (MAX_FILE_BYTES + 1)) is Reason.TOO_LARGE
    most = {f"GPU-{number}": "d.e.f" for number in range(MAX_DEVICES)}
    assert len(parse_answer(encoded([ANSWER[0], most])).devices) == MAX_DEVICES
    assert reason(parse_answer, encoded([ANSWER[0], {**most, "more": ""}])) is Reason.TOO_LARGE
    padded = encoded(ANSWER).ljust(MAX_ANSWER_BYTES)
    assert parse_answer(padded) == parse_answer(encoded(ANSWER))


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (ANSWER, [ANSWER]),
        ({"detached_eat": ANSWER, "claims": [{}], "result_code": 0}, [ANSWER]),
        ([["JWT", "x"], {"REMOTE_GPU_CLAIMS": ANSWER}], [ANSWER]),
        (
            [["JWT", "x"], {"REMOTE_SWITCH_CLAIMS": OTHER, "REMOTE_GPU_CLAIMS": ANSWER}],
            [ANSWER, OTHER],
        ),
        ({"detached_eat": [["JWT", "x"], {"REMOTE_SWITCH_CLAIMS": OTHER}]}, [OTHER]),
        (
            [["JWT", "x"], {"LOCAL_GPU_CLAIMS": ANSWER}],
            [[["JWT", "x"], {"LOCAL_GPU_CLAIMS": ANSWER}]],
        ),
    ],
)
def test_answers_in_files(file: object, found: list[object]) -> None:
    assert [json.loads(one) for one in find_answers(encoded(file))] == found


@pytest.mark.parametrize(
    "file", [None, [], {}, {"detached_eat": None}, {"claims": ANSWER}, [ANSWER], "a.b.c", [1, {}]]
)
def test_files_without_an_answer(file: object) -> None:
    assert reason(find_answers, encoded(file)) is Reason.TOKEN_INVALID


def test_what_is_found_is_written_in_ascii() -> None:
    (one,) = find_answers(encoded([["JWT", "\ud800"], {"GPU-\u00e9": ""}]))
    assert json.loads(one) == [["JWT", "\ud800"], {"GPU-\u00e9": ""}]


@pytest.mark.parametrize(
    ("path", "devices"),
    [
        ("nras-hgx-h100x8-ppcie-token/nras_response.json", 8),
        ("nras-h200-unknown-kid/nras_response.json", 1),
        ("h100-550.90.07/nras_v3_token_detached_eat.json", 1),
        ("ls10-96.10.55.00.01/nras_staging_token_detached_eat.json", 1),
        ("local-token-alg-none/gpu_attestation_h100.json", 1),
    ],
)
def test_real_files(path: str, devices: int) -> None:
    (one,) = find_answers(vectors.document(path))
    assert len(parse_answer(one).devices) == devices
