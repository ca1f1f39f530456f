package iot

import (
	"errors"
	"fmt"
)

// The errors that callers branch on, by errors.Is. Any other error of a store means that it is away or
// broken, and that the call may be repeated.
var (
	ErrNotFound = errors.New("not found") // there is no such row or value
	ErrConflict = errors.New("conflict")  // another row has this id or unique name
	ErrInvalid  = errors.New("invalid")   // the value itself can never be accepted

	// ErrLastAdmin is an ErrConflict: nobody would be left who is an admin and not disabled.
	ErrLastAdmin = fmt.Errorf("the last admin: %w", ErrConflict)
)
