package api

import (
	"fmt"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
)

const msgShortPassword = "Ensure this field has at least %d characters."

// role reads a role; "" where it is missing, or wrong.
func (f *form) role(field string) iot.Role {
	if _, given := f.members[field]; !given {
		return ""
	}
	return choiceOf(f, field, iot.Roles...)
}

// boolean reads a truth value; nil where it is missing, or wrong.
func (f *form) boolean(field string) *bool {
	value, ok := f.members[field]
	if !ok {
		return nil
	}
	switch string(value) {
	case "true", `"true"`: // the latter of an HTML form
		return new(true)
	case "false", `"false"`:
		return new(false)
	case "null":
		f.fail(field, msgNull)
	default:
		f.fail(field, msgBool)
	}
	return nil
}

// secret reads a required text as it was typed, with the spaces around it.
func (f *form) secret(field string) string {
	value, ok := f.member(field)
	if !ok {
		return ""
	}
	s, _ := f.raw(field, value)
	return s
}

// newPassword reads a password that somebody will have. nil: it was not given, or is wrong.
func (f *form) newPassword(field string) *string {
	failed := len(f.errs)
	s := f.secret(field)
	switch {
	case len(f.errs) > failed || f.members[field] == nil:
		return nil
	case utf8.RuneCountInString(s) < auth.MinPassword:
		f.fail(field, fmt.Sprintf(msgShortPassword, auth.MinPassword))
		return nil
	case len(s) > auth.MaxPassword:
		f.fail(field, fmt.Sprintf(msgTooLong, auth.MaxPassword))
		return nil
	}
	return &s
}
