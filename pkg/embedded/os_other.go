//go:build !unix

package embedded

// lock does nothing here: that no other process has dir open is up to whoever starts it.
func lock(string) (unlock func(), err error) { return func() {}, nil }
