package session

import "hash/maphash"

var seed = maphash.MakeSeed()

// Hash distinguishes the content of a message from that of others with the same packet id.
func Hash(topic string, payload []byte) uint64 {
	return maphash.String(seed, topic)*31 + maphash.Bytes(seed, payload)
}
