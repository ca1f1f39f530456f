// Package settings fills structs from flags and environment variables. The fields say with tags what they
// are; one without env and name is no setting:
//
//	env:"KAFKA_TOPIC"   its variable
//	name:"topic"        its flag; without the tag, the variable in the flags' spelling: --kafka-topic
//	default:"raw-data"  what it is when it is not given
//	help:"…"            what it means, a sentence or two
//	placeholder:"N"     what --help shows for the value of a setting without a default
//	group:"…"           the heading in --help; that of a struct is its fields'
//
// A field is a string, a number, a bool, a time.Duration (90d is 90 days), a []string (separated by commas) or an
// encoding.TextUnmarshaler, such as Bytes (10GB). The settings of a struct in a field are settings too, with envprefix:"…" of that
// field before their variables, and where the struct has a method Validate() error, that is called.
//
// A flag counts more than a variable; a variable that is empty counts as not set. Every variable can be
// given by a file instead, as secrets are mounted: NAME_FILE is the file that holds the value of NAME, a
// line break at its end left out. What is wrong is an *Error, which names the variable and shows no password.
//
// Why no library does this: docs/adr/0130-settings-are-our-own.md.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
)

// ErrHelp is what Parse returns for --help and -h.
var ErrHelp = errors.New("help is asked for")

// Parse fills targets, pointers to structs, from args and the environment.
func Parse(args []string, targets ...any) error {
	all := settingsOf(targets)
	if err := parseFlags(args, all); err != nil {
		return err
	}
	for _, s := range all {
		if err := s.complete(); err != nil {
			return err
		}
	}
	for _, target := range targets {
		if err := validate("", reflect.ValueOf(target).Elem()); err != nil {
			return err
		}
	}
	return nil
}

func parseFlags(args []string, all []*setting) error {
	flags := map[string]*setting{}
	for _, s := range all {
		flags[s.flag] = s
	}
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(args[i], "=")
		if name == "--help" || name == "-h" {
			return ErrHelp
		}
		if !strings.HasPrefix(name, "--") {
			return fmt.Errorf("unexpected argument %d: all are flags", i+1) // it may be a password
		}
		s, ok := flags[name[len("--"):]]
		switch {
		case !ok:
			return fmt.Errorf("unknown flag %s", name)
		case given:
		case s.isBool():
			value = "true"
		case i+1 == len(args):
			return fmt.Errorf("flag %s needs a value", name)
		default:
			i++
			value = args[i]
		}
		if err := s.set(value); err != nil {
			return &Error{Variable: name, Value: value, Err: err}
		}
		s.given = true
	}
	return nil
}

// complete sets s, unless a flag has, to what its variable says, else to the default.
func (s *setting) complete() error {
	if s.given {
		return nil
	}
	value, file := "", ""
	if s.env != "" {
		value, file = os.Getenv(s.env), os.Getenv(s.env+"_FILE")
	}
	switch {
	case value != "" && file != "":
		return &Error{Variable: s.env + "_FILE", Value: file, Err: fmt.Errorf("%s is set as well", s.env)}
	case value != "":
		if err := s.set(value); err != nil {
			return &Error{Variable: s.env, Value: value, Err: err}
		}
	case file != "":
		if err := s.setFromFile(file); err != nil {
			return &Error{Variable: s.env + "_FILE", Value: file, Err: err}
		}
	case s.preset != "":
		return s.set(s.preset)
	}
	return nil
}

func (s *setting) setFromFile(file string) error {
	content, err := os.ReadFile(file)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return failed.Err // without the path, which is the value of the setting
	}
	if err != nil {
		return err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if value == "" {
		return errors.New("the file is empty")
	}
	return s.set(value)
}

// validate calls Validate of v and of every struct in it.
func validate(prefix string, v reflect.Value) error {
	for i := range v.NumField() {
		if f := v.Type().Field(i); isStruct(f) {
			if err := validate(prefix+f.Tag.Get("envprefix"), v.Field(i)); err != nil {
				return err
			}
		}
	}
	validator, ok := v.Addr().Interface().(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := validator.Validate()
	var wrong *Error
	if errors.As(err, &wrong) {
		return &Error{Variable: prefix + wrong.Variable, Value: wrong.Value, Err: wrong.Err}
	}
	return err
}
