// Package series makes charts of stored readings: of each metric of each device that is asked for, what its values come to in
// each bucket of a range of time.
//
// A series is made of the store's own buckets, quarters of an hour or days of UTC. Where these do not do it is made of values: at
// the edges of the range, for steps of less than a quarter, and for percentiles. Both are exact when they are read, so
// a chart has what was stored a moment ago, late readings too, and there is nothing to refresh. How buckets lie in a
// time zone is package rollup's.
//
// It is no HTTP: package api reads what is asked, and writes the answer. When the store fails its error is returned, and nothing
// else; the request may be repeated.
//
// # What is in memory
//
//	points of a request     MaxNumbers, shared among the numbers that each has in the answer: 16 MB at most
//	values of percentiles   of the buckets that are being made, MaxValues at most: 24 MB
//	what is older           of each device, its metrics; maxOlder buckets are looked at, and as many again where these are too many
//	what the store sends    a chunk at a time
//
// How many requests are answered at the same time is its caller's to bound: Reader.Admit is asked before many values are read
// one by one.
package series
