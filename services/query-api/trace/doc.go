// Package trace says why a device does not appear: what bridges saw of it (their topic is read when somebody asks, package
// compacted), and which sentences follow from that and from what is stored. It knows no more than that: each sentence says
// what was seen, and none that something was not there which may have been forgotten.
//
// # What is in memory
//
// 4 MiB of what bridges told within the last 15 minutes: two bridges whose devices and clients take all of their room, or many
// that have fewer; who told longest ago goes first. While somebody asks, as much again or three times that, for one at a time
// (TestBounds).
package trace
