// Package iot is the vocabulary of Telltale: what a device, a reading and a user are, the contracts of
// the stores that keep them, and the errors that callers distinguish.
//
// It imports the standard library alone and does no I/O. How a reading looks on a wire or in a database
// belongs to the packages that speak to it: payload (JSON from devices), event (Kafka), readings,
// metadata and latest (the stores), api (HTTP).
package iot
