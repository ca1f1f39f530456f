package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
)

// How long passwords of people may be, in bytes. They are as they were typed: neither trimmed nor normalised.
const (
	MinPassword = 10
	MaxPassword = 1024
)

// What argon2id takes: as OWASP's cheat sheet on password storage recommends at least.
const (
	argonTime   = 2
	argonMemory = 19 << 10 // KiB
	argonLanes  = 1
	argonSalt   = 16 // bytes
	argonKey    = 32
)

// hashing bounds the memory, and the processors, that log-ins take.
var hashing = semaphore.NewWeighted(2)

// ErrWrongPassword is of a password that is not the one of the hash.
var ErrWrongPassword = errors.New("wrong password")

// HashPassword returns what is kept of a password, in the form that argon2's own tools write. It waits for its turn.
func HashPassword(ctx context.Context, password string) (string, error) {
	var salt [argonSalt]byte
	_, _ = rand.Read(salt[:]) // never fails
	key, err := argon(ctx, password, salt[:], argonTime, argonMemory, argonLanes, argonKey)
	if err != nil {
		return "", err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, encode(salt[:]), encode(key)), nil
}

// CheckPassword returns nil for the password that hash was made of, and ErrWrongPassword for any other. With an empty hash it
// takes as long as with another: how long an answer takes does not tell whether there is a user. It waits for its turn.
func CheckPassword(ctx context.Context, hash, password string) error {
	if hash == "" {
		_, err := argon(ctx, password, make([]byte, argonSalt), argonTime, argonMemory, argonLanes, argonKey)
		if err == nil {
			err = ErrWrongPassword
		}
		return err
	}
	var version int
	var memory, time uint32
	var lanes uint8
	fields := strings.Split(hash, "$")
	if len(fields) != 6 || fields[1] != "argon2id" {
		return errors.New("the stored password is none of argon2id")
	}
	if _, err := fmt.Sscanf(fields[2]+" "+fields[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &time, &lanes); err != nil {
		return fmt.Errorf("the stored password: %w", err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(fields[4])
	if err != nil {
		return fmt.Errorf("the stored password: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(fields[5])
	if err != nil || len(want) == 0 || version != argon2.Version || lanes == 0 || time == 0 {
		return errors.New("the stored password is not readable")
	}
	key, err := argon(ctx, password, salt, time, memory, lanes, uint32(len(want)))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(key, want) == 0 {
		return ErrWrongPassword
	}
	return nil
}

func argon(ctx context.Context, password string, salt []byte, time, memory uint32, lanes uint8, length uint32) ([]byte, error) {
	if err := hashing.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer hashing.Release(1)
	return argon2.IDKey([]byte(password), salt, time, memory, lanes, length), nil
}
