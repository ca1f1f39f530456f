// Package clients reads the API's description, and that of the messages, as its users' tools do: linters find nothing to complain of, and what
// generators make of it compiles, and works with an all-in-one. Nothing that was generated is kept. Its tests need
// Node.js, what `npm ci` installs here, and TEST_CLIENTS=1 (make clients); the generator for Go comes with the module
// in testdata/go.
package clients
