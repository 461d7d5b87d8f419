"""SmartModules as WebAssembly text, which is compiled where it is run.

:func:`module` makes one of a function per record. What it stands on is :data:`_RUNTIME`, which
reads and writes the layouts of ``txfluvio/testing/smartmodules/abi.py`` by itself: what one side
gets wrong the other does not.
"""

from __future__ import annotations

import gzip

from txfluvio.wire.spu import (
    AdHoc,
    AggregateKind,
    ExtraParams,
    FilterKind,
    GenericKind,
    Lookback,
    MapKind,
    NoContext,
    Predefined,
    SmartModuleInvocation,
)

Kind = FilterKind | MapKind | AggregateKind | GenericKind

KINDS = {"filter": 0, "map": 1, "array_map": 2, "aggregate": 3, "filter_map": 4}

_RUNTIME = """
  (import "env" "copy_records" (func $copy_records (param i32 i32)))
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 131072))
  (global $pos (mut i32) (i32.const 0))
  (global $out (mut i32) (i32.const 0))
  (global $count (mut i32) (i32.const 0))
  (global $acc (mut i32) (i32.const 0))
  (global $acc_len (mut i32) (i32.const 0))
  (global $hint (mut i32) (i32.const 0))
  (global $hint_len (mut i32) (i32.const 0))
  (global $attributes (mut i32) (i32.const 0))
  (global $time (mut i32) (i32.const 0))
  (global $delta (mut i32) (i32.const 0))
  (global $has_key (mut i32) (i32.const 0))
  (global $key (mut i32) (i32.const 0))
  (global $key_len (mut i32) (i32.const 0))
  (global $val (mut i32) (i32.const 0))
  (global $val_len (mut i32) (i32.const 0))
  (global $headers (mut i32) (i32.const 0))
  (func (export "alloc") (param $len i32) (result i32)
    (local $start i32)
    (local.set $start (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get $len)))
    (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
      (then (drop (memory.grow
        (i32.add (i32.shr_u (local.get $len) (i32.const 16)) (i32.const 1))))))
    (local.get $start))
  (func (export "dealloc") (param i32 i32)
    (global.set $heap (i32.const 131072)))
  (func $get8 (result i32)
    (global.set $pos (i32.add (global.get $pos) (i32.const 1)))
    (i32.load8_u (i32.sub (global.get $pos) (i32.const 1))))
  (func $get16 (result i32)
    (i32.or (i32.shl (call $get8) (i32.const 8)) (call $get8)))
  (func $get32 (result i32)
    (i32.or (i32.shl (call $get16) (i32.const 16)) (call $get16)))
  (func $get64 (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (call $get32)) (i64.const 32))
            (i64.extend_i32_u (call $get32))))
  (func $varint (result i32)
    (local $byte i32) (local $shift i32) (local $sum i32)
    (loop $more
      (local.set $byte (call $get8))
      (local.set $sum (i32.or (local.get $sum)
        (i32.shl (i32.and (local.get $byte) (i32.const 127)) (local.get $shift))))
      (local.set $shift (i32.add (local.get $shift) (i32.const 7)))
      (br_if $more (i32.and (local.get $byte) (i32.const 128))))
    (i32.xor (i32.shr_u (local.get $sum) (i32.const 1))
             (i32.sub (i32.const 0) (i32.and (local.get $sum) (i32.const 1)))))
  (func $put8 (param $byte i32)
    (i32.store8 (global.get $out) (local.get $byte))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))
  (func $put16 (param $number i32)
    (call $put8 (i32.shr_u (local.get $number) (i32.const 8)))
    (call $put8 (local.get $number)))
  (func $put32 (param $number i32)
    (call $put16 (i32.shr_u (local.get $number) (i32.const 16)))
    (call $put16 (local.get $number)))
  (func $put64 (param $number i64)
    (call $put32 (i32.wrap_i64 (i64.shr_u (local.get $number) (i64.const 32))))
    (call $put32 (i32.wrap_i64 (local.get $number))))
  (func $put_varint (param $number i32)
    (local $left i32)
    (local.set $left (i32.xor (i32.shl (local.get $number) (i32.const 1))
                              (i32.shr_s (local.get $number) (i32.const 31))))
    (loop $more
      (if (i32.gt_u (local.get $left) (i32.const 127))
        (then
          (call $put8 (i32.or (i32.and (local.get $left) (i32.const 127)) (i32.const 128)))
          (local.set $left (i32.shr_u (local.get $left) (i32.const 7)))
          (br $more))))
    (call $put8 (local.get $left)))
  (func $put (param $start i32) (param $len i32)
    (memory.copy (global.get $out) (local.get $start) (local.get $len))
    (global.set $out (i32.add (global.get $out) (local.get $len))))
  (func $put_key_and_value (param $value i32) (param $len i32)
    (call $put8 (global.get $has_key))
    (if (global.get $has_key)
      (then (call $put_varint (global.get $key_len))
            (call $put (global.get $key) (global.get $key_len))))
    (call $put_varint (local.get $len))
    (call $put (local.get $value) (local.get $len)))
  ;; The record that is being read, with another value.
  (func $emit (param $value i32) (param $len i32)
    (local $begin i32) (local $size i32)
    (local.set $begin (global.get $out))
    (global.set $out (i32.const 65536))
    (call $put8 (global.get $attributes))
    (call $put_varint (global.get $time))
    (call $put_varint (global.get $delta))
    (call $put_key_and_value (local.get $value) (local.get $len))
    (call $put_varint (global.get $headers))
    (local.set $size (i32.sub (global.get $out) (i32.const 65536)))
    (global.set $out (local.get $begin))
    (call $put_varint (local.get $size))
    (call $put (i32.const 65536) (local.get $size))
    (global.set $count (i32.add (global.get $count) (i32.const 1))))
  (func $read_record
    (local $end i32)
    (local.set $end (call $varint))
    (local.set $end (i32.add (local.get $end) (global.get $pos)))
    (global.set $attributes (call $get8))
    (global.set $time (call $varint))
    (global.set $delta (call $varint))
    (global.set $has_key (call $get8))
    (if (global.get $has_key)
      (then
        (global.set $key_len (call $varint))
        (global.set $key (global.get $pos))
        (global.set $pos (i32.add (global.get $pos) (global.get $key_len)))))
    (global.set $val_len (call $varint))
    (global.set $val (global.get $pos))
    (global.set $pos (i32.add (global.get $pos) (global.get $val_len)))
    (global.set $headers (call $varint))
    (global.set $pos (local.get $end)))
  (func $run (param $ptr i32) (param $kind i32) (result i32)
    (local $base i64) (local $left i32) (local $begin i32) (local $failed i32)
    (global.set $pos (local.get $ptr))
    (local.set $base (call $get64))
    (local.set $begin (call $get32))
    (if (i32.eq (local.get $kind) (i32.const 3))
      (then
        (local.set $left (global.get $pos))
        (global.set $pos
          (i32.add (i32.add (local.get $left) (local.get $begin)) (i32.const 8)))
        (global.set $acc_len (call $get32))
        (global.set $acc (global.get $pos))
        (global.set $pos (local.get $left))))
    (local.set $begin (global.get $heap))
    (global.set $out (i32.add (local.get $begin) (i32.const 4)))
    (global.set $count (i32.const 0))
    (local.set $left (call $get32))
    (block $done
      (loop $next
        (br_if $done (i32.le_s (local.get $left) (i32.const 0)))
        (call $read_record)
        (local.set $failed (call $record))
        (br_if $done (local.get $failed))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (call $put8 (local.get $failed))
    (if (local.get $failed)
      (then
        (call $put16 (global.get $hint_len))
        (call $put (global.get $hint) (global.get $hint_len))
        (call $put64 (i64.add (local.get $base) (i64.extend_i32_s (global.get $delta))))
        (call $put8 (local.get $kind))
        (call $put_key_and_value (global.get $val) (global.get $val_len))))
    (if (i32.eq (local.get $kind) (i32.const 3))
      (then
        (call $put32 (global.get $acc_len))
        (call $put (global.get $acc) (global.get $acc_len))))
    (local.set $left (global.get $out))
    (global.set $out (local.get $begin))
    (call $put32 (global.get $count))
    (call $copy_records (local.get $begin) (i32.sub (local.get $left) (local.get $begin)))
    (global.get $count))
  (func $fail (param $hint i32) (param $len i32) (result i32)
    (global.set $hint (local.get $hint))
    (global.set $hint_len (local.get $len))
    (i32.const 1))
  ;; Whether the value contains some bytes, one at least.
  (func $contains (param $what i32) (param $len i32) (result i32)
    (local $at i32) (local $end i32) (local $same i32)
    (local.set $at (global.get $val))
    (local.set $end (i32.sub (i32.add (local.get $at) (global.get $val_len)) (local.get $len)))
    (block $no
      (loop $place
        (br_if $no (i32.gt_s (local.get $at) (local.get $end)))
        (local.set $same (i32.const 0))
        (block $differs
          (loop $byte
            (br_if $differs (i32.ne
              (i32.load8_u (i32.add (local.get $at) (local.get $same)))
              (i32.load8_u (i32.add (local.get $what) (local.get $same)))))
            (local.set $same (i32.add (local.get $same) (i32.const 1)))
            (if (i32.eq (local.get $same) (local.get $len)) (then (return (i32.const 1))))
            (br $byte)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $place)))
    (i32.const 0))
"""


def module(kind: str, record: str, more: str = "") -> bytes:
    """A module of a kind, as text.

    :param record: the body of the function that takes the record in ``$val``, ``$key`` and so on,
        passes on what it likes by ``$emit``, and returns 0, or ``$fail`` with a hint.
    :param more: other parts.
    """
    entry = f"""
  (func (export "{kind}") (param i32 i32 i32) (result i32)
    (call $run (local.get 0) (i32.const {KINDS[kind]})))"""
    body = f"(func $record (result i32) (local $a i32) (local $b i32) (local $c i32) {record})"
    return f"(module {_RUNTIME} {entry} {body} {more})".encode()


def bare(*parts: str) -> bytes:
    """A module with what every one needs, and these parts."""
    return f"""(module
      (import "env" "copy_records" (func $copy_records (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "alloc") (param i32) (result i32) (i32.const 1024))
      {" ".join(parts)})""".encode()


def function(name: str, body: str) -> str:
    """A function as an SPU calls it, to go into :func:`bare`."""
    return f'(func (export "{name}") (param i32 i32 i32) (result i32) {body})'


def answering(status: int, output: bytes = b"") -> str:
    """The body of a function that leaves some output and returns a status."""
    stores = " ".join(
        f"(i32.store8 (i32.const {2048 + place}) (i32.const {byte}))"
        for place, byte in enumerate(output)
    )
    length = len(output)
    return (
        f"{stores} (call $copy_records (i32.const 2048) (i32.const {length})) (i32.const {status})"
    )


def ad_hoc(wasm: bytes, kind: Kind | None = None, **params: str) -> SmartModuleInvocation:
    """An invocation that brings its module along."""
    return SmartModuleInvocation(
        wasm=AdHoc(payload=gzip.compress(wasm, mtime=0)),
        kind=GenericKind(context=NoContext()) if kind is None else kind,
        params=ExtraParams(params=params),
    )


def named(
    name: str, kind: Kind | None = None, lookback: Lookback | None = None, **params: str
) -> SmartModuleInvocation:
    """An invocation of a module that the cluster has."""
    return SmartModuleInvocation(
        wasm=Predefined(name=name),
        kind=GenericKind(context=NoContext()) if kind is None else kind,
        params=ExtraParams(params=params, lookback=lookback),
    )


FILTER = module(
    "filter",
    """(if (call $contains (i32.const 16) (i32.const 1))
         (then (call $emit (global.get $val) (global.get $val_len))))
       (i32.const 0)""",
    '(data (i32.const 16) "a")',
)
"""Lets through what contains an ``a``."""

FILTER_PARAM = module(
    "filter",
    """(if (call $contains (i32.const 1024) (global.get $needle))
         (then (call $emit (global.get $val) (global.get $val_len))))
       (i32.const 0)""",
    """(data (i32.const 1024) "a")
       (global $needle (mut i32) (i32.const 1))
       (func (export "init") (param i32 i32 i32) (result i32)
         (global.set $pos (local.get 0))
         (if (call $get16)
           (then
             (global.set $val_len (call $get16))
             (global.set $pos (i32.add (global.get $pos) (global.get $val_len)))
             (global.set $needle (call $get16))
             (memory.copy (i32.const 1024) (global.get $pos) (global.get $needle))))
         (i32.const 0))""",
)
"""Lets through what contains the first parameter, ``a`` without one."""

MAP = module(
    "map",
    """(local.set $a (global.get $val))
       (local.set $b (i32.add (global.get $val) (global.get $val_len)))
       (block $done
         (loop $next
           (br_if $done (i32.ge_u (local.get $a) (local.get $b)))
           (local.set $c (i32.load8_u (local.get $a)))
           (if (i32.and (i32.ge_u (local.get $c) (i32.const 97))
                        (i32.le_u (local.get $c) (i32.const 122)))
             (then (i32.store8 (local.get $a) (i32.sub (local.get $c) (i32.const 32)))))
           (local.set $a (i32.add (local.get $a) (i32.const 1)))
           (br $next)))
       (call $emit (global.get $val) (global.get $val_len))
       (i32.const 0)""",
)
"""Makes the letters of ASCII upper case."""

FILTER_MAP = module(
    "filter_map",
    """(local.set $a (i32.const 0))
       (block $done
         (loop $next
           (br_if $done (i32.ge_u (local.get $a) (global.get $val_len)))
           (local.set $c (i32.sub
             (i32.load8_u (i32.add (global.get $val) (local.get $a))) (i32.const 48)))
           (if (i32.gt_u (local.get $c) (i32.const 9))
             (then (return (call $fail (i32.const 16) (i32.const 29)))))
           (local.set $b (i32.add
             (i32.mul (local.get $b) (i32.const 10)) (local.get $c)))
           (local.set $a (i32.add (local.get $a) (i32.const 1)))
           (br $next)))
       (if (i32.and (local.get $b) (i32.const 1)) (then (return (i32.const 0))))
       (local.set $b (i32.shr_u (local.get $b) (i32.const 1)))
       (local.set $a (i32.const 1024))
       (loop $digit
         (local.set $a (i32.sub (local.get $a) (i32.const 1)))
         (i32.store8 (local.get $a)
           (i32.add (i32.rem_u (local.get $b) (i32.const 10)) (i32.const 48)))
         (local.set $b (i32.div_u (local.get $b) (i32.const 10)))
         (br_if $digit (local.get $b)))
       (call $emit (local.get $a) (i32.sub (i32.const 1024) (local.get $a)))
       (i32.const 0)""",
    '(data (i32.const 16) "invalid digit found in string")',
)
"""Halves even numbers, drops odd ones, and fails on anything else."""

ARRAY_MAP = module(
    "array_map",
    """(if (i32.ne (i32.load8_u (global.get $val)) (i32.const 91))
         (then (return (call $fail (i32.const 16) (i32.const 33)))))
       (global.set $attributes (i32.const 0))
       (global.set $time (i32.const 0))
       (global.set $delta (i32.const 0))
       (global.set $has_key (i32.const 0))
       (global.set $headers (i32.const 0))
       (if (i32.eq (global.get $val_len) (i32.const 2)) (then (return (i32.const 0))))
       (local.set $a (i32.add (global.get $val) (i32.const 1)))
       (local.set $b (local.get $a))
       (loop $next
         (local.set $c (i32.load8_u (local.get $b)))
         (if (i32.or (i32.eq (local.get $c) (i32.const 44)) (i32.eq (local.get $c) (i32.const 93)))
           (then
             (call $emit (local.get $a) (i32.sub (local.get $b) (local.get $a)))
             (local.set $a (i32.add (local.get $b) (i32.const 1)))))
         (local.set $b (i32.add (local.get $b) (i32.const 1)))
         (br_if $next (i32.ne (local.get $c) (i32.const 93))))
       (i32.const 0)""",
    '(data (i32.const 16) "expected value at line 1 column 1")',
)
"""Makes a record of each element of a flat array of JSON."""

AGGREGATE = module(
    "aggregate",
    """(local.set $a (i32.const 4096))
       (memory.copy (local.get $a) (global.get $acc) (global.get $acc_len))
       (memory.copy (i32.add (local.get $a) (global.get $acc_len))
                    (global.get $val) (global.get $val_len))
       (global.set $acc (local.get $a))
       (global.set $acc_len (i32.add (global.get $acc_len) (global.get $val_len)))
       (call $emit (global.get $acc) (global.get $acc_len))
       (i32.const 0)""",
)
"""Puts values behind each other."""

LOOK_BACK = module(
    "filter",
    """(if (i32.eq (global.get $val_len) (global.get $seen))
         (then (call $emit (global.get $val) (global.get $val_len))))
       (i32.const 0)""",
    """(global $seen (mut i32) (i32.const 0))
       (func (export "look_back") (param i32 i32 i32) (result i32)
         (global.set $pos (i32.add (local.get 0) (i32.const 12)))
         (global.set $seen (call $get32))
         (i32.const 0))""",
)
"""Lets through values of as many bytes as there were records to look back at."""

SLEEPS = b"""(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "env" "copy_records" (func $copy_records (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "filter") (param i32 i32 i32) (result i32)
    (i64.store (i32.const 24) (i64.const 3_600_000_000_000))
    (i32.store (i32.const 16) (i32.const 1))
    (if (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200))
      (then (return (i32.const -1))))
    (i32.const 0)))"""
"""Sleeps for an hour, or fails if it can not."""

NAMED = {
    "filter-on-a": FILTER,
    "fparam": FILTER_PARAM,
    "map1": MAP,
    "fm1": FILTER_MAP,
    "arr1": ARRAY_MAP,
    "agg1": AGGREGATE,
}
"""By the names that they have in the recordings."""
