"""clickhouse-connect against the engine's HTTP front; fails by exception. Arguments: host, port; password in the environment."""

import datetime
import decimal
import os
import sys
import uuid

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

HOST, PORT = sys.argv[1], int(sys.argv[2])
PASSWORD = os.environ["TOLLGATE_ENGINE_PASSWORD"]
UTC = datetime.timezone.utc
COLUMNS = {
    "id": "UInt64",
    "name": "String",
    "kind": "LowCardinality(String)",
    "maybe": "Nullable(Int32)",
    "amount": "Decimal(38, 18)",
    "at": "DateTime64(6, 'UTC')",
    "tags": "Array(String)",
    "counts": "Map(String, UInt8)",
    "key": "UUID",
}


def row(number):
    return (
        number,
        f"name {number} 'quoted' \\ \t",
        f"kind {number % 3}",
        None if number % 2 else number,
        decimal.Decimal(number) / 8,
        datetime.datetime(2026, 1, 31, 23, 59, number % 60, number, tzinfo=UTC),
        ["a", str(number)],
        {"k": number % 256},
        uuid.UUID(int=number),
    )


def expect(error_type, code, action):
    try:
        action()
    except error_type as error:
        assert f"Code: {code}." in str(error), error
        return
    raise AssertionError(f"no error with code {code}")


def drain(client, query):
    rows = 0
    with client.query_row_block_stream(query) as blocks:
        for block in blocks:
            rows += len(block)
    return rows


def check(compress, form_encode):
    client = clickhouse_connect.get_client(
        host=HOST, port=PORT, username="default", password=PASSWORD, compress=compress,
        form_encode_query_params=form_encode,
    )
    assert client.server_version.count(".") == 3, client.server_version
    database = f"python_{str(compress).lower()}_{str(form_encode).lower()}"
    client.command(f"CREATE DATABASE {database}")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    client.command(f"CREATE TABLE {database}.t ({columns}) ENGINE = MergeTree ORDER BY id")

    rows = [row(number) for number in range(20_000)]
    summary = client.insert("t", rows, column_names=list(COLUMNS), database=database)
    assert summary.written_rows == len(rows), summary.summary

    result = client.query(f"SELECT * FROM {database}.t ORDER BY id", tz_mode="aware")
    assert [tuple(r) for r in result.result_rows] == rows, result.result_rows[:2]
    assert int(result.summary["result_rows"]) == len(rows), result.summary

    counted = client.query(
        f"SELECT count() FROM {database}.t WHERE kind = {{kind:String}} AND id < {{limit:UInt64}}",
        parameters={"kind": "kind 1", "limit": 100},
    )
    assert counted.first_row == (33,), counted.result_rows
    nasty = ["it's \\", "tab\tline\nend"]
    assert client.query("SELECT {list:Array(String)}", parameters={"list": nasty}).first_row == (nasty,)
    assert client.query("SELECT getSetting('max_threads')", settings={"max_threads": 3}).first_row[0] == 3

    client.raw_insert(f"{database}.t", column_names=["id", "name"], insert_block="900000\tabc\n", fmt="TSV")
    assert client.raw_query(f"SELECT name FROM {database}.t WHERE id = 900000", fmt="JSONEachRow") == b'{"name":"abc"}\n'

    expect(DatabaseError, 60, lambda: client.query("SELECT * FROM nowhere"))
    expect(DatabaseError, 62, lambda: client.command("SELEC 1"))
    limited = {"max_execution_time": 1}
    slow = "SELECT sleepEachRow(0.5) FROM numbers(10) SETTINGS max_block_size = 1"
    expect(DatabaseError, 159, lambda: client.query(slow, settings=limited))
    assert drain(client, "SELECT number FROM numbers(2000000)") == 2_000_000
    late = "SELECT number, throwIf(number = 3000000) FROM numbers(6000000)"
    expect(StreamFailureError, 395, lambda: drain(client, late))
    client.close()


for compress in (False, True, "lz4", "zstd", "gzip"):
    check(compress, form_encode=False)
check(False, form_encode=True)
expect(
    DatabaseError, 516,
    lambda: clickhouse_connect.get_client(host=HOST, port=PORT, username="default", password="wrong"),
)
print("all is well")
