package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Prefixes say what a secret is for, to people and to programs that look for secrets where they must not be.
const (
	TokenPrefix        = "tt_"  // of a program
	SessionPrefix      = "tts_" // of a browser
	ProvisioningPrefix = "ttp_" // with which devices make credentials of their own
)

// NewSecret returns a new secret: the prefix and 256 random bits, in letters, digits, - and _.
func NewSecret(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Hash is what is kept of a secret.
func Hash(secret string) iot.Secret { return sha256.Sum256([]byte(secret)) }
