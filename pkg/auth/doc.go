// Package auth is what all listeners have in common about who gets in: when one needs credentials, what secrets look like,
// and how passwords of people are kept.
//
// Secrets of programs and devices are generated, 256 bits, shown once, and kept as their SHA-256: to verify one takes less
// than a microsecond, and guessing is hopeless. Passwords of people are not, so they are kept as argon2id, which takes
// time and memory on purpose: two are hashed at a time.
//
// Guesses are bounded by address and user name: the failures of 10,000 pairs are kept, of 100 bytes each; beyond, one is forgotten
// (TestGuesses).
package auth
