// Package transfer has the formats in which readings are exported and imported as files: CSV, NDJSON and Parquet. It knows
// nothing of HTTP, stores and Kafka.
//
// # Formats
//
//	NDJSON   the JSON of the API, package readingjson's, a reading per line
//	CSV      RFC 4180 with a header: timestamp, device_id, device_key, temperature, humidity, a column for each other metric,
//	         metrics, attributes, timestamp_source, device_timestamp. A text that a spreadsheet would take for a formula
//	         has an apostrophe before it; numbers have none
//	Parquet  the same columns; timestamps, floats, and maps for metrics and attributes (package parquet)
//
// A file has a column for each metric that was there when it was begun. The metrics of a reading that have none, as they
// are new, or too many, or called like another column, are in the column metrics: a JSON object, or a map. So no reading
// loses anything, and what was exported is the same when it is imported, but for the time of receipt.
//
// # What is in memory
//
//	an encoder of NDJSON or CSV   chunkBytes, and a reading
//	one of Parquet                what package parquet says
//	columns                       MaxColumns names
package transfer
