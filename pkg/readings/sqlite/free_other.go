//go:build !unix

package sqlite

// freeBytes returns how much the disk of dir has left for its users: not known.
func freeBytes(string) (int64, error) { return -1, nil }
