"""Turns the text of an argument into its value, or says what was expected."""

from __future__ import annotations

import argparse
import math

LARGEST_PORT = 65_535
LIMITED = ("requests", "input-tokens", "output-tokens")


def shard(text: str) -> tuple[int, int]:
    """`K/N`: number K, from 0, of N."""
    number, mark, of = text.partition("/")
    if not (mark and number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected K/N such as 0/8, with K from 0 and below N")
    return int(number), int(of)


def at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least 1")
    return number


def listening(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected HOST:PORT")
    return host.strip("[]"), int(port)


def cluster(text: str) -> str:
    """The address of a Ray cluster; empty for the one that Ray finds by itself."""
    kind, _, address = text.partition(":")
    if kind != "ray":
        raise argparse.ArgumentTypeError(f"found {text!r}, expected ray or ray:ADDRESS")
    return address


def concurrency(text: str) -> int:
    from profiler.manifest.value_types import LARGEST_CONCURRENCY  # noqa: PLC0415 (--help does not need it)

    number = at_least_one(text)
    if number > LARGEST_CONCURRENCY:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected at most {LARGEST_CONCURRENCY:,}")
    return number


def whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least 0")
    return int(text)


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a port from 0 to 65535")
    return int(text)


def _number(text: str, *, least: float, most: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
    return number


def seconds(text: str) -> float:
    return _number(text, least=0, most=1e6, expected="a number of at least 0")


def positive(text: str) -> float:
    return _number(text, least=1e-9, most=1e9, expected="a number above 0")


def share(text: str) -> float:
    return _number(text, least=0, most=1, expected="a share from 0 to 1")


def fault(text: str) -> tuple[str, float]:
    name, sign, rate = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected NAME=RATE such as 429=0.01")
    return name, share(rate)


def limit(text: str) -> dict[str, str | int | bool]:
    """A limit as `ENDPOINT[@MODEL]:requests=N,input-tokens=N,output-tokens=N`; the model `each` means one for every
    model."""
    where, colon, limits = text.partition(":")
    endpoint, _, model = where.partition("@")
    rule: dict[str, str | int | bool] = {"endpoint": endpoint}
    if model:
        rule |= {"each_model": True} if model == "each" else {"model": model}
    for each in limits.split(","):
        name, _, count = each.partition("=")
        if not colon or name not in LIMITED:
            expected = "ENDPOINT:NAME=N with requests, input-tokens or output-tokens, such as batches:requests=50"
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
        rule[f"{name.replace('-', '_')}_per_minute"] = at_least_one(count)
    return rule
