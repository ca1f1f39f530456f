// Package parquet writes Apache Parquet files, as far as a table of readings needs them: columns of timestamps, integers,
// floats, texts and maps, in row groups, compressed with zstd. Parquet libraries for Go would be a third of query-api's
// image (ADR 0191). It reads nothing; that pyarrow and DuckDB do is checked by `make clients`.
//
// A file is written from its beginning to its end, and what describes it comes last: a file that was cut off is none.
// After an error of the io.Writer all other calls return it.
//
// # The format
//
// https://parquet.apache.org/docs/file-format/: "PAR1", the row groups, the metadata, its length, "PAR1". A row group has
// a chunk for each leaf column, and a chunk has data pages, behind a page with its dictionary where it has one:
//
//	timestamps  DELTA_BINARY_PACKED
//	others      RLE_DICTIONARY, of at most maxDistinct values; what comes after that is PLAIN
//
// A map is two leaf columns, its keys and its values, whose repetition levels say where a row begins. Levels are runs.
//
// # What is in memory
//
//	the row group being written   about maxGroupBytes, and as much while it is encoded
//	the metadata of the others    about 100 bytes for each column of each row group: 1 kB for 100,000 rows of ten columns
//	the zstd encoder              1 MB
package parquet
