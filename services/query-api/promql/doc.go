// Package promql answers the part of Prometheus' query language that charts of readings need, so that Grafana's own data source
// for Prometheus shows them.
//
//	temperature  temperature{device="42"}  {"indoor.co2", name=~"kitchen.*|lab"}   the newest value of the last 5 minutes
//	avg_over_time(temperature[15m])          also min_, max_, sum_, count_ and last_over_time
//	max by (name) (…)  avg without (name) (…)  also min, sum and count: of all series, or of those that share these labels
//	temperature * 1.8 + 32                   + - * / of a number and series, or of two numbers
//
// A metric is a series for each device, with the labels device, its id, and name, what it is registered as. Anything else is an
// *Error that says where it stands.
//
// A window is what Prometheus has: [15m] at a time t is what came after t-15m, up to t. Where windows and steps are whole quarters
// of an hour, and begin as they do, they are made of the store's buckets; a value of the very millisecond at which a
// quarter begins belongs to that one then. Otherwise they are made of values, up to three million of them; beyond that of the
// quarters that they touch, with a warning.
//
// # What is in memory
//
//	windows that are being filled   maxPoints, of 72 bytes: devices are asked for in groups of so many
//	points of an answer             maxPoints, of 8 bytes, and of an aggregation as many again
//	devices                         all that are registered, unless the query names its own
//	regular expressions             maxPattern steps in a request, of some 250 bytes, also of all its selectors together, which are
//	                                MaxSelectors
//	series that are listed          maxSeries
package promql
