package settings

import (
	"errors"
	"strings"
)

var (
	errNotEscaped = errors.New("the user or password has a character that means something in a URL: write / as %2F, ? as %3F, # as %23, @ as %40, % as %25")
	errHost       = errors.New("the host has more than one colon: is an @ missing before it?")
)

// checkURL refuses a URL whose host would be read out of the middle of a password: in redis://:12#3@host/0, what
// parses is a host with the port 12. MongoDB's driver looks for the last @ instead. Nor can a password be taken for
// a host where an @ is missing. Other values pass.
func checkURL(value string) error {
	scheme, rest, isURL := strings.Cut(value, "://")
	if !isURL {
		return nil
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	hosts := rest[strings.LastIndex(rest[:end], "@")+1 : end]
	for host := range strings.SplitSeq(hosts, ",") {
		if strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
			return errHost
		}
	}
	if scheme == "mongodb" || scheme == "mongodb+srv" || strings.Contains(rest[:end], "@") {
		return nil
	}
	rest, fragment, _ := strings.Cut(rest[end:], "#")
	path, query, _ := strings.Cut(rest, "?")
	name, _, _ := strings.Cut(query, "=") // the value of a parameter may have an @
	if strings.Contains(path+name+fragment, "@") {
		return errNotEscaped
	}
	return nil
}
