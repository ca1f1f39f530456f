package search

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var kitchen = iot.Reading{
	Device: iot.KeyID("Meter-1"), Key: "Meter-1", At: time.UnixMilli(1),
	Metrics:    []iot.Metric{{Name: "door", Value: 1}, {Name: "temperature", Value: 21.5}, {Name: "zero"}},
	Attributes: []iot.Attribute{{Name: "firmware", Value: "1.10"}, {Name: "note", Value: `say "hi" (now)`}, {Name: "room", Value: "Living Room"}, {Name: "temperature", Value: "mild"}},
}

func TestMatch(t *testing.T) {
	for query, want := range map[string]bool{
		"": true, " \t": true, "*": true, "-*": false,

		"temperature:21.5": true, "temperature:=21.5": true, "temperature:2.15e1": true, "temperature:21": false, "Temperature:21.5": false,
		"temperature:mild": true, "temperature:MILD": true, "temperature:m*": true, `temperature:"21.5"`: false,
		"temperature:>21": true, "temperature:>21.5": false, "temperature:>=21.5": true, "temperature:<21.5": false, "temperature:<=21.5": true, "temperature:<-5": false,
		"temperature:!=21.5": true, // the text is another
		"door:!=1":           false, "door:!=0": true, "door:!=open": true, "window:!=1": false, "-window:1": true,
		"temperature:20..25": true, "temperature:21.5..21.5": true, "temperature:-5..20": false, "temperature:22..*": false, "temperature:*..22": true,
		"temperature:!=20..25": true, "door:!=0..2": false, "door:*": true, "room:*": true, "window:*": false, "door:*..*": true, "room:*..*": false,
		"door:true": true, "door:FALSE": false, "zero:false": true, "zero:-0": true,

		`room:"living room"`: true, "room:living*": true, "room:*ROOM": true, "room:l*v*g*m": true, "room:living": false, "room:living*x": false, "room:l*x*m": false, `room:"living*"`: false,
		"room:>living": true, `room:>"living room"`: false, `room:>="living room"`: true, "room:k..m": true, "room:m..*": false,
		`firmware:>"1.0"`: true, `firmware:>"1.2"`: false, "firmware:>1.0": false, "firmware:1.10": true, "firmware:1.1": false,
		"room:!=attic": true, "room:!=LIV*": false,

		"living": true, `"living room"`: true, "LIV*OOM": true, `"liv*"`: false, "meter": true, "attic": false, "21.5": false, `"say \"hi\" ("`: true, `"\\"`: false,
		"device_key:METER*": true, "device_key:Meter-2": false, "device_id:Meter-1": true, "device_id:meter-1": false, "device_id:42": false, "device_id:>42": true, "device_id:*": true,

		"door:1 room:attic": false, "door:1 AND zero:0": true, "door:1 and room:attic or zero:0": true, "door:1 AND (room:attic OR zero:0)": true,
		"NOT door:1 OR zero:0": true, "NOT (door:1 OR zero:0)": false, "-door:1 zero:0": false, "--door:1": true, "not -door:1": true, "-(door:2)": true,
		`"door":1`: true, `note:"say \"hi\" (now)"`: true, `"and"`: false, "and:*": false, "oral": false, "(living)room": true, "note:say*": true,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := q.Match(&kitchen); got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestFolding(t *testing.T) {
	for _, c := range []struct{ query, text string }{{"KÜCHE", "küche"}, {"küche", "KÜCHE"}, {"\u212a", "k"}, {"ſ", "S"}, {"Σ", "ς"}, {"漢", "漢字"}} {
		q, err := Parse("room:" + c.query + "*")
		if err != nil {
			t.Fatal(err)
		}
		if !q.Match(&iot.Reading{Attributes: []iot.Attribute{{Name: "room", Value: c.text}}}) {
			t.Errorf("%s does not match %s", c.query, c.text)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for query, want := range map[string]string{
		"temperature:":             `Expected a value right behind the colon at 13, found the end.`,
		"temperature:>":            `Expected a value right behind the > at 14, found the end.`,
		"temperature: 25":          `Expected a value right behind the colon at 13, found a space.`,
		"größe:>= 25":              `Expected a value right behind the >= at 9, found a space.`,
		"temperature>25":           `Expected a colon (as in temperature:>25), or the whole text in quotes at 12, found ">25".`,
		"temperature:>2*":          `Expected a value without .. and *, or one in quotes at 14, found "2*".`,
		"temperature:>2..3":        `Expected a value without .. and *, or one in quotes at 14, found "2..3".`,
		"temperature:[20 TO 25]":   `Expected a range like 20..25, or a value in quotes at 13, found "[20".`,
		"temperature:20..":         `Expected a value, or a * alone, where the range ends at 17, found the end.`,
		"temperature:..20":         `Expected a value, or a * alone, where the range begins at 13, found "..20".`,
		"temperature:20..2O":       `Expected a number, as in front of the range's .. at 17, found "2O".`,
		"temperature:x..20":        `Expected a number, as behind the range's .. at 13, found "x..20".`,
		"temperature:25..20":       `Expected 25 or more at 17, found "20".`,
		"room:b..a":                `Expected "b" or what comes after it at 9, found "a".`,
		"room:a*..b":               `Expected a value, or a * alone, where the range begins at 6, found "a*..b".`,
		"room:(a OR b)":            `Expected one value (as in room:lab OR room:attic) at 6, found "(a".`,
		"ro*:lab":                  `Expected a name in front of the colon, in quotes where it has a * at 1, found "ro*:lab".`,
		":lab":                     `Expected a name in front of the colon, in quotes where it has a * at 1, found ":lab".`,
		"lab timestamp:>2026":      `Expected a metric, an attribute or a device (from_date, to_date and range say of which times) at 5, found "timestamp:>2026".`,
		`room:"lab`:                `Expected the quote that closes the one at 6 at 10, found the end.`,
		`room:"lab\`:               `Expected the quote that closes the one at 6 at 11, found the end.`,
		`room:"lab"x`:              `Expected a space at 11, found "x".`,
		`lab"x"`:                   `Expected a space at 4, found "\"x\"".`,
		"room:lab(x)":              `Expected a space at 9, found "(x)".`,
		"a AND":                    `Expected a name with a value, a text, NOT or a parenthesis at 6, found the end.`,
		"OR a":                     `Expected a name with a value, a text, NOT or a parenthesis at 1, found "OR".`,
		"a AND OR b":               `Expected a name with a value, a text, NOT or a parenthesis at 7, found "OR".`,
		"a && b":                   `Expected AND or OR at 3, found "&&".`,
		"- a":                      `Expected a name with a value, a text, NOT or a parenthesis at 2, found a space.`,
		"(a b":                     `Expected AND, OR or the parenthesis that closes the one at 1 at 5, found the end.`,
		"a) b":                     `Expected AND, OR or the end at 2, found ")".`,
		"()":                       `Expected a name with a value, a text, NOT or a parenthesis at 2, found ")".`,
		"device_id:a*\x01":         `Expected text without control characters, in UTF-8 at 13, found "\x01".`,
		"a\xff":                    `Expected text without control characters, in UTF-8 at 2, found "�".`,
		strings.Repeat("(", 500):   `Expected no more than 20 levels of parentheses and NOT at 22, found "((((((((((((((((((((".`,
		strings.Repeat("-", 500):   `Expected no more than 20 levels of parentheses and NOT at 22, found "--------------------".`,
		strings.Repeat("a ", 51):   `Expected no more than 50 terms at 101, found "a".`,
		strings.Repeat("ü", 1001):  `Expected no more than 2000 bytes at 1001, found "ü".`,
		strings.Repeat("ü ", 2000): `Expected no more than 2000 bytes at 1334, found a space.`,
	} {
		_, err := Parse(query)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("%.40s:\n got %v\nwant %s", query, err, want)
		}
	}
}
