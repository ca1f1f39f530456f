package settings

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setting is a field that can be set.
type setting struct {
	flag, env, preset, help, placeholder, group string
	field                                       reflect.Value
	given                                       bool // by a flag
}

// settingsOf returns the settings in targets in the order of their fields.
func settingsOf(targets []any) []*setting {
	var all []*setting
	for _, target := range targets {
		all = appendFields(all, "", "", reflect.ValueOf(target).Elem())
	}
	return all
}

func appendFields(all []*setting, prefix, group string, v reflect.Value) []*setting {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		group := cmp.Or(f.Tag.Get("group"), group)
		env, name := f.Tag.Get("env"), f.Tag.Get("name")
		switch {
		case isStruct(f):
			all = appendFields(all, prefix+f.Tag.Get("envprefix"), group, v.Field(i))
			continue
		case env == "" && name == "":
			continue
		case env != "":
			env = prefix + env
		}
		if name == "" {
			name = strings.ToLower(strings.ReplaceAll(env, "_", "-"))
		}
		all = append(all, &setting{
			flag: name, env: env, preset: f.Tag.Get("default"), help: f.Tag.Get("help"),
			placeholder: f.Tag.Get("placeholder"), group: group, field: v.Field(i),
		})
	}
	return all
}

// isStruct reports whether f is a struct that may have settings in it, and is none itself.
func isStruct(f reflect.StructField) bool {
	return f.IsExported() && f.Type.Kind() == reflect.Struct && f.Tag.Get("env") == "" && f.Tag.Get("name") == ""
}

func (s *setting) isBool() bool { return s.field.Kind() == reflect.Bool }

// set gives the field the value that text means.
func (s *setting) set(text string) error {
	switch p := s.field.Addr().Interface().(type) {
	case *slog.Level:
		if p.UnmarshalText([]byte(text)) != nil {
			return errors.New("must be debug, info, warn or error")
		}
		return nil
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case *time.Duration:
		d, err := ParseDuration(text)
		*p = d
		return err
	case *[]string:
		*p = nil
		for item := range strings.SplitSeq(text, ",") {
			*p = append(*p, strings.TrimSpace(item))
		}
		return nil
	}
	switch s.field.Kind() {
	case reflect.String:
		s.field.SetString(text)
		return checkURL(text)
	case reflect.Bool:
		on, err := parseBool(text)
		s.field.SetBool(on)
		return err
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := s.field.Type().Bits()
		n, err := strconv.ParseInt(text, 10, bits)
		s.field.SetInt(n)
		return wholeNumber(err, int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		s.field.SetUint(n)
		return wholeNumber(err, 0, uint64(math.MaxUint64))
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		s.field.SetFloat(x)
		if err != nil {
			return errors.New("must be a number")
		}
	default:
		return fmt.Errorf("a setting cannot be of type %s", s.field.Type())
	}
	return nil
}

// wholeNumber puts err, of parsing a number from least to most, in the words of a setting's error.
func wholeNumber[N int64 | uint64](err error, least, most N) error {
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("must be between %d and %d", least, most)
	case err != nil:
		return errors.New("must be a whole number")
	}
	return nil
}

// ParseDuration takes what time.ParseDuration does, and whole days before that: 90d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	errDuration := errors.New("must be a duration such as 90s, 168h or 90d")
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		days, rest = "0", text
	} else if rest == "" {
		rest = "0"
	}
	const most = int64(math.MaxInt64 / day)
	n, err := strconv.ParseInt(days, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, errDuration
	}
	d, err := time.ParseDuration(rest)
	if sum := time.Duration(n)*day + d; err == nil && (n == 0 || d >= 0 && sum >= d) {
		return sum, nil
	}
	return 0, errDuration
}

const day = 24 * time.Hour

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errors.New("must be true or false")
}
