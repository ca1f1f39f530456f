package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
)

// Listener is where clients connect, and the variable that says so. Without Addr there is none.
type Listener struct{ Variable, Addr string }

// Access looks whether one of listeners is reached by other machines, and asks nobody for credentials.
func Access(mode auth.Mode, listeners ...Listener) Check {
	return Check{"AUTH", func(context.Context) []Finding {
		var asking, open, exposed []string
		for _, l := range listeners {
			addr, err := net.ResolveTCPAddr("tcp", l.Addr)
			switch {
			case l.Addr == "" || err != nil: // of an address that cannot be, Port tells
			case mode.Policy(addr, false) == auth.Required:
				asking = append(asking, l.Variable)
			case auth.IsLoopback(addr):
				open = append(open, l.Variable)
			default:
				exposed = append(exposed, l.Variable)
			}
		}
		text := string(mode) + ": credentials are needed by " + orNobody(asking)
		switch {
		case len(exposed) > 0 && mode == auth.Off:
			return Warn("off: other machines get in by "+strings.Join(exposed, ", ")+" without credentials", "set AUTH=on, or have it listen on 127.0.0.1")
		case len(exposed) > 0:
			return Fine("%s; who would be refused is let in, and listed", mode)
		case len(open) > 0:
			text += ", by " + strings.Join(open, ", ") + " none: this machine alone gets in"
		}
		return Fine("%s", text)
	}}
}

func orNobody(variables []string) string {
	if len(variables) == 0 {
		return "no listener"
	}
	return strings.Join(variables, ", ")
}

// othersMay are the bits of a folder's mode by which users who are not of its group see what is in it.
const othersMay = 0o005

// lookAtReaders looks whether every user of the machine may read dir.
func lookAtReaders(dir string, mode os.FileMode) []Finding {
	if mode.Perm()&othersMay == 0 {
		return nil
	}
	return Warn(fmt.Sprintf("every user of this machine may read it (mode %04o)", mode.Perm()), "chmod o= "+filepath.Clean(dir))
}

// expiresSoon is when a certificate that ends worries: renewals are made a month before, as a rule.
const expiresSoon = 30 * 24 * time.Hour

// Expiry is what there is to say of the certificate in a file, which ends then.
func Expiry(file string, ends, now time.Time) []Finding {
	left := ends.Sub(now)
	text := fmt.Sprintf("the certificate in %s ends on %s", file, ends.Format(time.DateOnly))
	switch {
	case left <= 0:
		return Fail(strings.Replace(text, " ends ", " has ended ", 1), "renew it: clients are refused by their own TLS")
	case left < expiresSoon:
		return Warn(fmt.Sprintf("%s, in %.0f days", text, left.Hours()/24), "renew it: the new one is read from the file, without a restart")
	}
	return Fine("%s", text)
}
