"""Writes the corpora that `cargo xtask fuzz` begins with: one folder for each loader, valid files and damaged ones.

    python3 -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install -r tests/fuzz/requirements.txt
    /tmp/fuzz/bin/python tests/fuzz/make_corpus.py

Every file is made here, is small, and is the same on every run, except those named `found-`: inputs that once made a
loader fail, which stay for ever. A corpus need not be complete: libFuzzer changes and combines what it finds. It must
show it what it would not find by chance, such as checksums, containers and long words.
"""

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import struct
import zlib
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent

LONG_NUMBER = "7" * 600
DEEP = "[" * 3000 + "]" * 3000


def packed(data: bytes) -> bytes:
    """A gzip without a time in it, so that it is the same on every run."""
    return gzip.compress(data, 9, mtime=0)


def damaged(name: str, data: bytes) -> dict[str, bytes]:
    """Cut off in the middle and near the end, and with one bit flipped at three places."""
    files = {f"{name}-cut-half": data[: len(data) // 2], f"{name}-cut-end": data[:-3]}
    for part in (5, 2, 1):
        flipped = bytearray(data)
        flipped[len(data) // 7 * part] ^= 1 << part
        files[f"{name}-flipped-{part}"] = bytes(flipped)
    return files


def lines(*rows: object) -> bytes:
    """One row a line; text stands as it is."""
    return b"".join((row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in rows)


def containers(whole: bytes) -> dict[str, bytes]:
    """What any file of lines may be wrapped in or begin with."""
    return {
        "empty": b"",
        "blank-lines": b"\n \r\n\n",
        "byte-order-mark": b"\xef\xbb\xbf" + whole,
        "windows-line-ends": whole.replace(b"\n", b"\r\n"),
        "gzip": packed(whole),
        "gzip-members": packed(whole) + packed(whole),
        "gzip-empty": packed(b""),
        "gzip-bomb-of-blanks": packed(b"\n" * 200_000),
        "gzip-bomb-of-one-line": packed(b"a" * 2_000_000),
        "no-object": lines([1], "3", '"text"', "null", "{}", "{", DEEP),
        "invalid-utf8": whole.replace(b"a", b"\xff"),
        "parquet-head": b"PAR1" + whole,
        **damaged("plain", whole),
        **damaged("gzip", packed(whole)),
    }


def apps() -> dict[str, bytes]:
    streams = {
        "problem_id": 7,
        "question": "Add two numbers.",
        "solutions": json.dumps(["print(sum(map(int, input().split())))"]),
        "input_output": json.dumps({"inputs": ["1 2\n", ["5", "5"]], "outputs": ["3\n", ["10"]]}),
        "difficulty": "interview",
        "url": "https://codeforces.com/problemset/problem/1/A",
        "starter_code": "",
    }
    calls = streams | {
        "problem_id": "8",
        "input_output": json.dumps({"fn_name": "odd", "inputs": [[1], [2]], "outputs": [[True], [False]]}),
        "starter_code": "class Solution:\n    def odd(self, n: int) -> bool:\n        ",
    }
    missing = [streams | {field: value} for field in streams for value in ("", None, "null", [], {}, 1)]
    tests = [
        "[]",
        "{}",
        '{"inputs": [], "outputs": []}',
        '{"inputs": ["1"], "outputs": []}',
        '{"inputs": [null], "outputs": [""]}',
        '{"inputs": [{}], "outputs": [true]}',
        '{"fn_name": "f", "inputs": ["1"], "outputs": [1]}',
        '{"fn_name": "f", "inputs": [[1]], "outputs": [[[1]]]}',
        '{"fn_name": "f", "inputs": [[%s]], "outputs": [%s]}' % (LONG_NUMBER, LONG_NUMBER),
        '{"fn_name": "f", "inputs": [%s], "outputs": [%s]}' % (DEEP, DEEP),
        '{"inputs": [NaN], "outputs": [Infinity]}',
        '{"inputs": ["\\ud800"], "outputs": ["\\u0000"]}',
        "{'inputs': ['1']}",
    ]
    shapes = [calls | {"input_output": text, "starter_code": "def f(a) -> List[int]:"} for text in tests]
    return {
        "streams": lines(streams),
        "calls": lines(calls),
        "missing-values": lines(*missing),
        "tests-of-every-shape": lines(*shapes),
        **containers(lines(streams, calls)),
    }


def livecodebench() -> dict[str, bytes]:
    stdin = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
    functional = [{"input": '[1, 2]\n"a b"', "output": "[3]", "testtype": "functional"}]

    def row(public: object, private: str, metadata: str = "{}") -> dict:
        return {
            "question_title": "Sum",
            "question_content": "Add two numbers.",
            "platform": "atcoder",
            "question_id": "abc1_a",
            "contest_id": "abc1",
            "contest_date": "2023-05-13T00:00:00",
            "starter_code": "class Solution:\n    def add(self, a: List[int]) -> int:\n        ",
            "difficulty": "easy",
            "public_test_cases": public if isinstance(public, str) else json.dumps(public),
            "private_test_cases": private,
            "metadata": metadata,
        }

    def packed_tests(data: bytes) -> str:
        return base64.b64encode(zlib.compress(data, 9)).decode()

    text = json.dumps(stdin)
    protocols = [row(stdin, packed_tests(pickle.dumps(text, protocol))) for protocol in range(6)]
    large = b"\x80\x04\x8d" + struct.pack("<Q", len(text)) + text.encode() + b"\x94."
    forbidden = [
        pickle.dumps([text]),
        pickle.dumps({text: None}),
        pickle.dumps(3),
        pickle.dumps(b"bytes", 4),
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x04\x8c\x01ah\0.",
        b"\x80\x09.",
        b".",
        b"",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"X\xff\xff\xff\x7f.",
        b"\x8c\x03\xed\xa0\x80.",
    ]
    whole = pickle.dumps(text, 4)
    cut = [row(stdin, packed_tests(data)) for data in damaged("pickle", whole).values()]
    stream = zlib.compress(whole, 9)
    broken = [row(stdin, base64.b64encode(data).decode()) for data in damaged("zlib", stream).values()]
    function = '{"func_name": "add"}'
    lists = [
        row(functional, "", function),
        row(functional, json.dumps(functional), function),
        row(functional, "", ""),
        row(functional, "", "null"),
        row(functional, "", '{"func_name": 3}'),
        row(stdin, json.dumps(functional)),
        row([{"input": "1", "output": "1", "testtype": "socket"}], ""),
        row([{"input": None, "output": 1}], ""),
        row([{"input": "[", "output": "]", "testtype": "functional"}], "", function),
        row("[]", "[]"),
        row("", ""),
        row("null", "null"),
        row("{}", "{}"),
        row(DEEP, "!!!!"),
        row(stdin, "eJ"),
        row(stdin, "abcd"),
    ]
    bomb = b"\x80\x04X" + struct.pack("<I", 3_000_000) + b" " * 3_000_000 + b"\x94."
    return {
        "stdin": lines(row(stdin, json.dumps(stdin))),
        "functional": lines(lists[0]),
        "lists-of-every-shape": lines(*lists),
        "pickle-protocols": lines(*protocols, row(stdin, packed_tests(large))),
        "pickle-forbidden": lines(*(row(stdin, packed_tests(data)) for data in forbidden)),
        "pickle-damaged": lines(*cut),
        "zlib-damaged": lines(*broken),
        "zlib-bomb": lines(row(stdin, packed_tests(bomb))),
        **containers(lines(protocols[4], lists[0])),
    }


ROWS = [
    {"prompt": prompt, "completion": f"Answer {number}.", "id": str(number), "note": None if number % 2 else "n"}
    for number, prompt in enumerate(
        ["plain", 'a "quoted" word', "two\nlines", "a, comma; and\ta tab", '"', "Züge 漢字 🙂", " spaces ", "back\\slash"]
    )
]


def table(rows: list[dict], separator: str, line_end: str) -> bytes:
    """As Python's csv writes it."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def written_otherwise() -> dict[str, bytes]:
    """The rows of `rows` in everything that rows may be written in, and conversations as `datasets` and Polars have them."""
    first = lines({"kind": "completion", "id": "id"})
    whole = lines(*ROWS)
    listed = json.dumps(ROWS).encode()

    def parquet(table: pa.Table) -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    def arrow(table: pa.Table) -> bytes:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()

    def polars(rows: list[dict]) -> bytes:
        sink = io.BytesIO()
        pl.DataFrame(rows).write_ipc(sink)
        return sink.getvalue()

    def zstd(data: bytes) -> bytes:
        return pa.compress(data, "zstd", asbytes=True)

    columns = pa.Table.from_pylist(ROWS)
    files = {
        "rows": whole,
        "rows-zstd": zstd(whole),
        "rows-zstd-frames": zstd(whole[: whole.index(b"\n") + 1]) + zstd(whole[whole.index(b"\n") + 1 :]),
        "rows-bzip2": bz2.compress(whole),
        "rows-xz": lzma.compress(whole),
        "rows-list": listed,
        "rows-list-indented": b"\xef\xbb\xbf\r\n " + json.dumps(ROWS, indent=2, ensure_ascii=False).encode() + b"\n\n",
        "rows-list-bzip2": bz2.compress(listed),
        "rows-parquet": parquet(columns),
        "rows-arrow": arrow(columns),
        "rows-polars": polars(ROWS),
    }
    for name in ("rows-zstd", "rows-bzip2", "rows-xz", "rows-list-indented", "rows-parquet", "rows-polars"):
        files |= damaged(name, files[name])
    large = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    files["rows-xz-large-dictionary"] = lzma.compress(whole, filters=large)
    files |= {"rows-zstd-bomb": zstd(b"a" * 3_000_000), "rows-xz-bomb": lzma.compress(b"[" + b" " * 3_000_000)}
    files = {name: first + data for name, data in files.items()}
    for name, file, data in [
        ("csv", "rows.csv", table(ROWS, ",", "\n")),
        ("csv-windows", "rows.csv", b"\xef\xbb\xbf" + table(ROWS, ",", "\r\n")),
        ("csv-semicolons", "rows.csv", table(ROWS, ";", "\n")),
        ("csv-xz", "rows.csv.xz", lzma.compress(table(ROWS, ",", "\n"))),
        ("tsv", "rows.tsv", table(ROWS, "\t", "\n")),
    ]:
        files[f"rows-{name}"] = file.encode() + b" " + first + data
    files |= damaged("rows-csv", files["rows-csv"])
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"Question {number}?", "weight": None, "tool_calls": None},
                {"role": "assistant", "content": "", "weight": 0, "tool_calls": [call]},
                {"role": "tool", "content": "o", "weight": None, "tool_calls": None},
                {"role": "assistant", "content": "Done.", "weight": 1, "tool_calls": []},
            ],
            "tools": [{"name": "f"}],
            "seen": 0.5,
        }
        for number in range(3)
    ]
    chat_first = lines({"kind": "chat"})
    for name, data in [
        ("lines", lines(*chats)),
        ("parquet", parquet(pa.Table.from_pylist(chats))),
        ("arrow", arrow(pa.Table.from_pylist(chats))),
        ("polars", polars(chats)),
    ]:
        files[f"calls-{name}"] = chat_first + data
    return files


def jsonl() -> dict[str, bytes]:
    """The first line is the options, and before them may stand what the file is called; `rules.md` is a file that every
    input finds beside it."""
    chat = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
    turns = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}
    problem = {
        "problem": "Add.",
        "solution": "print(3)",
        "tests": [{"input": "1 2\n", "output": "3\n"}, ["5 5", ["10"]]],
        "title": "Sum",
        "tags": ["sums"],
        "difficulty": 3,
    }
    calls = {
        "problem": "Add.",
        "solutions": '["def f(a): return a"]',
        "entry_point": "f",
        "starter_code": "def f(a):",
        "tests": [{"input": [1], "output": 1}, ["1\n2", "3"], [{"a": 1}, None]],
    }
    policy = {
        "instruction": "Cancel my order.",
        "policy": "Cancel pending orders.",
        "actions": [{"name": "cancel", "kwargs": {"order": "W1"}}, {"name": "end", "arguments": "{}"}, {"name": "x"}],
        "outputs": ["done", 5],
    }
    odd = policy | {"actions": [{"name": "a", "kwargs": {"a": "VALUE"}}, {"name": "b", "arguments": '{"a": "\\ud800"}'}]}
    odd_values = ['"\\ud800"', "1e999", LONG_NUMBER, DEEP]
    renamed = {
        "kind": "chat",
        "messages": "conversations",
        "role": "from",
        "content": "value",
        "roles": {"human": "user", "gpt": "assistant"},
        "id": "meta.id",
        "tags": ["a"],
    }
    bad_options = [
        "",
        "[]",
        "{}",
        '{"kind": "text"}',
        '{"kind": 3}',
        '{"kind": "chat", "roles": {"human": "person"}}',
        '{"kind": "chat", "unknown": 1}',
        '{"kind": "policy", "policy": {"file": "none.md"}}',
        '{"kind": "policy", "policy": {"file": "a", "field": "b"}}',
        '{"kind": "problem", "solution": "a", "solutions": "b"}',
        DEEP,
    ]
    files = {
        "chat": lines({"kind": "chat"}, chat, {"messages": json.dumps(chat["messages"])}, {"messages": []}, {}),
        "chat-renamed": lines(renamed, turns | {"meta": {"id": 1}}, turns, turns | {"meta.id": "2"}),
        "completion": lines({"kind": "completion", "system": "Be brief."}, {"prompt": "1 + 1", "completion": "2"}),
        "problem": lines({"kind": "problem"}, problem, calls, {"problem": "Add."}),
        "problem-paths": lines({"kind": "problem", "statement": "a.b", "tests": "a.c"}, {"a": {"b": "Add.", "c": []}}),
        "policy": lines({"kind": "policy"}, policy, policy | {"actions": json.dumps(policy["actions"])}),
        "policy-file": lines({"kind": "policy", "policy": {"file": "rules.md"}}, policy, policy | {"actions": []}),
        "policy-field": lines({"kind": "policy", "policy": {"field": "p.q"}}, {"p": {"q": "x"}} | policy),
        # Arguments that are written like JSON and that few parsers can build.
        "policy-arguments": lines({"kind": "policy"}, *(json.dumps(odd).replace('"VALUE"', text) for text in odd_values)),
        "wrong-types": lines(
            {"kind": "problem"}, *({**problem, field: value} for field in problem for value in (None, "", 1, [], {}))
        ),
        "wrong-types-policy": lines(
            {"kind": "policy"}, *({**policy, field: value} for field in policy for value in (None, "", 1, [], {}))
        ),
    }
    for number, options in enumerate(bad_options):
        files[f"options-{number}"] = lines(options, chat)
    first = lines({"kind": "completion"})
    for name, data in containers(lines({"prompt": "1 + a", "completion": "2"})).items():
        files[f"completion-{name}"] = first + data
    return files | written_otherwise()


def codecontests() -> dict[str, bytes]:
    tests = pa.struct([("input", pa.list_(pa.string())), ("output", pa.list_(pa.string()))])
    programs = pa.struct([("language", pa.list_(pa.int64())), ("solution", pa.list_(pa.string()))])
    time_limit = pa.struct([("seconds", pa.int64()), ("nanos", pa.int64())])
    schema = pa.schema(
        [
            ("name", pa.string()),
            ("description", pa.string()),
            ("public_tests", tests),
            ("private_tests", tests),
            ("generated_tests", tests),
            ("source", pa.int64()),
            ("difficulty", pa.int64()),
            ("solutions", programs),
            ("incorrect_solutions", programs),
            ("cf_index", pa.string()),
            ("cf_rating", pa.int64()),
            ("cf_tags", pa.list_(pa.string())),
            ("time_limit", time_limit),
            ("memory_limit_bytes", pa.int64()),
            ("input_file", pa.string()),
            ("output_file", pa.string()),
        ]
    )
    none = {"input": [], "output": []}
    row = {
        "name": "4_A. Sum",
        "description": "Add two numbers.",
        "public_tests": {"input": ["1 2\n"], "output": ["3\n"]},
        "private_tests": none,
        "generated_tests": {"input": ["5 5\n", None], "output": ["10\n", ""]},
        "source": 2,
        "difficulty": 7,
        "solutions": {"language": [3, 1], "solution": ["print(3)", "print 3"]},
        "incorrect_solutions": {"language": [3], "solution": ["print(4)"]},
        "cf_index": "A",
        "cf_rating": 800,
        "cf_tags": ["math", ""],
        "time_limit": {"seconds": 2, "nanos": 0},
        "memory_limit_bytes": 256_000_000,
        "input_file": "",
        "output_file": "",
    }
    plain = row | {"generated_tests": none}
    odd = [
        plain | {"name": None, "cf_index": "", "time_limit": None, "cf_tags": None},
        plain | {"description": ""},
        plain | {"public_tests": {"input": ["1"], "output": []}},
        plain | {"public_tests": None},
        plain | {"public_tests": {"input": None, "output": None}},
        plain | {"solutions": {"language": [3], "solution": []}},
        plain | {"solutions": None},
        plain | {"time_limit": {"seconds": -1, "nanos": None}},
        plain | {"input_file": "input.txt"},
        {name: None for name in row},
    ]

    def parquet(rows: list, schema: pa.Schema = schema, **options) -> bytes:
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, store_schema=False, **options)
        return sink.getvalue()

    def changed(name: str, kind: pa.DataType) -> pa.Schema:
        return schema.set(schema.get_field_index(name), pa.field(name, kind))

    files = {
        "empty": b"",
        "no-parquet": b"PAR1PAR1",
        "zero-rows": parquet([]),
        "plain": parquet([plain, row], compression="none", use_dictionary=False),
        "odd-rows": parquet(odd, compression="none"),
        "row-groups": parquet([plain, row, plain], compression="snappy", row_group_size=1),
        "second-page-version": parquet([plain, row], compression="snappy", data_page_version="2.0"),
        "time-limit-as-text": parquet(
            [plain | {"time_limit": {"seconds": "2", "nanos": "x"}}],
            changed("time_limit", pa.struct([("seconds", pa.string()), ("nanos", pa.string())])),
        ),
        "wrong-type": parquet([plain | {"name": 3}], changed("name", pa.int64())),
        "missing-column": parquet([{"name": "x"}], pa.schema([("name", pa.string())])),
    }
    for codec in ("snappy", "gzip", "lz4", "zstd", "brotli"):
        files[codec] = parquet([plain, row], compression=codec)
    for name in ("plain", "snappy", "gzip"):
        files |= damaged(name, files[name])
    return files


def taco() -> dict[str, bytes]:
    row = {
        "question": "Add two numbers.",
        "solutions": json.dumps(["print(sum(map(int, input().split())))"]),
        "starter_code": "",
        "input_output": json.dumps({"inputs": ["1 2\n"], "outputs": ["3\n"]}),
        "difficulty": "EASY",
        "raw_tags": "['Math', \"it's\"]",
        "name": "Sum",
        "source": "codeforces",
        "tags": "['Mathematics']",
        "skill_types": "[]",
        "url": "https://codeforces.com/problemset/problem/1/A",
        "Expected Auxiliary Space": None,
        "time_limit": "2.0 seconds",
        "date": "2020-01-01",
        "picture_num": "0",
        "memory_limit": "256.0 megabytes",
        "Expected Time Complexity": None,
    }
    calls = row | {
        "input_output": json.dumps({"fn_name": "odd", "inputs": [[1]], "outputs": [[True]]}),
        "starter_code": "def odd(n):\n\t",
        "source": "codewars",
    }
    prose = row | {
        "input_output": json.dumps({"inputs": ["n = 5\narr[] = {1,2}"], "outputs": ["3"]}),
        "starter_code": "class Solution:\n    def f(self, n, arr):\n        pass",
        "source": "geeksforgeeks",
    }
    tags = ["[", "['a'", "['a\\'b', \"c\"]", "['\\x41\\u00e9\\N{DASH}']", "('a',)", "[1]", "[['a']]", "['a' 'b']", ""]
    limits = ["", "2", "-1 seconds", "nan seconds", "1e99 seconds", "2 fortnights", "0.5 megabytes", "None"]
    odd = [row | {"tags": text, "raw_tags": text} for text in tags]
    odd += [row | {"time_limit": text, "memory_limit": text} for text in limits]
    odd += [row | {field: value} for field in row for value in ("", None, "null")]
    schema = pa.schema([(name, pa.string()) for name in row])
    table = pa.Table.from_pylist([row, calls, prose], schema=schema)
    odd_table = pa.Table.from_pylist(odd, schema=schema)

    def parquet(table: pa.Table, codec: str) -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink, compression=codec, store_schema=False)
        return sink.getvalue()

    def arrow(table: pa.Table, make, codec: str | None) -> bytes:
        sink = io.BytesIO()
        with make(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
            writer.write_table(table)
        return sink.getvalue()

    def polars(make: str, codec: str) -> bytes:
        """As Polars writes it: string views, a categorical, and a file whose schema stands in the footer alone."""
        frame = pl.from_arrow(pa.concat_tables([table, table])).with_columns(pl.col("difficulty").cast(pl.Categorical))
        sink = io.BytesIO()
        getattr(frame, make)(sink, compression=codec)
        return sink.getvalue()

    files = {
        "polars-file": polars("write_ipc", "uncompressed"),
        "polars-file-zstd": polars("write_ipc", "zstd"),
        "polars-stream-lz4": polars("write_ipc_stream", "lz4"),
        "parquet": parquet(table, "none"),
        "parquet-zstd": parquet(table, "zstd"),
        "parquet-odd-rows": parquet(odd_table, "snappy"),
        "arrow-stream": arrow(table, pa.ipc.new_stream, None),
        "arrow-stream-zstd": arrow(table, pa.ipc.new_stream, "zstd"),
        "arrow-stream-empty": arrow(table.slice(0, 0), pa.ipc.new_stream, None),
        "arrow-stream-dictionary": arrow(
            table.set_column(0, "question", table["question"].dictionary_encode()), pa.ipc.new_stream, None
        ),
        "arrow-file": arrow(table, pa.ipc.new_file, None),
        "arrow-file-lz4": arrow(table, pa.ipc.new_file, "lz4"),
        "odd-rows": lines(*odd),
        **containers(lines(row, calls, prose)),
    }
    for name in ("parquet", "arrow-stream", "arrow-stream-zstd", "arrow-file", "polars-file"):
        files |= damaged(name, files[name])
    return files


def main() -> None:
    for corpus in (apps, codecontests, jsonl, livecodebench, taco):
        folder = HERE / corpus.__name__
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            if not old.name.startswith("found-"):
                old.unlink()
        for name, data in corpus().items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
