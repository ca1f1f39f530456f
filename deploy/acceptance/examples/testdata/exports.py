"""Compares the export at a URL, and those that the README's commands have made here, with one another."""

import sys

import duckdb
import pandas as pd
import pyarrow.parquet as pq

url, sql = sys.argv[1:]
rows = duckdb.sql(sql.replace("\n", " ").strip(" ;")).fetchall()
assert rows, "DuckDB finds nothing in readings.parquet"

lines = pd.read_json(url, lines=True)
table = pd.read_csv("readings.csv", parse_dates=["timestamp"])
columns = pq.read_table("readings.parquet").to_pandas()
assert len(lines) > 0 and len(lines) == len(table) == len(columns), (len(lines), len(table), len(columns))
assert list(table.columns) == list(columns.columns), (table.columns, columns.columns)
assert (table["timestamp"] == columns["timestamp"]).all() and (pd.to_datetime(lines["timestamp"]) == columns["timestamp"]).all()
for name in ("device_id", "temperature", "humidity"):
    for other in (table, lines):
        assert (other[name].astype("float64").fillna(-999) == columns[name].astype("float64").fillna(-999)).all(), name
assert [dict(a) for a in columns["attributes"]] == [
    a if isinstance(a, dict) else {} for a in lines.get("attributes", [{}] * len(lines))
]
assert duckdb.sql("SELECT count(*) FROM 'readings.csv'").fetchall() == duckdb.sql("SELECT count(*) FROM 'readings.parquet'").fetchall()
