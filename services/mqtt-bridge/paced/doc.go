// Package paced makes network connections cheap that carry many small packets: reads are spaced, so that each
// finds more than one packet, and what is sent waits a few milliseconds to share a write with others. All
// connections of the process share the moments, so that one wake-up serves all of them. It knows no protocol.
package paced
