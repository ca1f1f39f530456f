package settings

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
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
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("not a duration, as in 1m30s")
		}
		*p = d
		return nil
	case *[]string:
		*p = nil
		for item := range strings.SplitSeq(text, ",") {
			*p = append(*p, strings.TrimSpace(item))
		}
		return nil
	}
	var err error
	switch s.field.Kind() {
	case reflect.String:
		s.field.SetString(text)
	case reflect.Bool:
		var on bool
		on, err = parseBool(text)
		s.field.SetBool(on)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(text, 10, s.field.Type().Bits())
		s.field.SetInt(n)
	case reflect.Uint64:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 64)
		s.field.SetUint(n)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, 64)
		s.field.SetFloat(x)
	default:
		return fmt.Errorf("a setting cannot be of type %s", s.field.Type())
	}
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return errors.New("not a number, or not a whole one where it must be")
	case errors.Is(err, strconv.ErrRange):
		return errors.New("too large or too small")
	}
	return err
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errors.New("neither true nor false")
}
