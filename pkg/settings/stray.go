package settings

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/telltale-iot/telltale/pkg/typo"
)

// variables are those of all programs, one a line: what is meant for another program is no mistake here. A test
// of all-in-one compares them with each program's --help.
//
//go:embed variables.txt
var variables string

// Stray is a variable that no program reads, though it looks as if one should.
type Stray struct {
	Variable string
	Meant    string // the one that it looks like; "" where there is none
}

const prefix = "TELLTALE" // that no variable has, though many expect it

// Strays returns the strays among environ, which is as os.Environ returns it. A variable that is empty counts as
// not set.
func Strays(environ []string) (strays []Stray) {
	known := strings.Fields(variables)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" || isKnown(known, name) {
			continue
		}
		first, rest, _ := strings.Cut(strings.ToUpper(name), "_")
		prefixed := typo.Distance(first, prefix) <= typo.Most && !ofKubernetes(rest)
		if prefixed {
			if meant := nearest(known, rest); meant != "" || first == prefix {
				strays = append(strays, Stray{name, meant})
			}
		} else if meant := nearest(known, strings.ToUpper(name)); meant != "" {
			strays = append(strays, Stray{name, meant})
		}
	}
	slices.SortFunc(strays, func(a, b Stray) int { return strings.Compare(a.Variable, b.Variable) })
	return strays
}

func isKnown(known []string, name string) bool {
	return slices.Contains(known, name) || slices.Contains(known, strings.TrimSuffix(name, "_FILE"))
}

// ofKubernetes reports whether a variable ends as those do that Kubernetes makes of a Service's name.
func ofKubernetes(rest string) bool {
	return strings.HasSuffix(rest, "SERVICE_HOST") || strings.Contains("_"+rest, "_PORT") || strings.Contains(rest, "SERVICE_PORT")
}

// nearest returns the variable that name is, or is a slip of the fingers away from; "" where there is none.
func nearest(known []string, name string) string {
	best, least := "", typo.Most+1
	for _, variable := range known {
		for _, v := range []string{variable, variable + "_FILE"} {
			if d := typo.Distance(name, v); d < least && alike(name, v) {
				best, least = v, d
			}
		}
	}
	return best
}

// alike reports whether no word of name is another one than that of variable: API_ADDR is no OPS_ADDR.
func alike(name, variable string) bool {
	words, want := strings.Split(name, "_"), strings.Split(variable, "_")
	if len(words) != len(want) {
		return true // a line between two words is missing, or too many
	}
	for i := range want {
		if 2*typo.Distance(words[i], want[i]) >= len(want[i]) { // PATH is no AUTH
			return false
		}
	}
	return true
}
