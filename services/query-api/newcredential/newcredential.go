// Package newcredential is the programs `credential create`, `credential list` and `credential delete`, for who runs Telltale
// without the dashboard: whoever may open the database lets devices in and shuts them out. They run while the service does, and
// while it does not. A service that runs learns of it when it next compares the database with what bridges know, within a minute.
package newcredential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// About says what the programs do.
const About = "Makes, lists and deletes the credentials by which devices and gateways connect over MQTT and send over HTTP.\n\n" +
	"  credential create --device=DEVICE\n" +
	"  credential create --gateway=NAME --devices=DEVICES\n" +
	"  credential list\n" +
	"  credential delete ID\n\n" +
	"A password is shown this once. The service may run meanwhile: it lets the device in, or shuts it out, within a minute."

const (
	// maxDevices is for how many devices a gateway speaks, as by the API.
	maxDevices = 1000
	// pageSize is how many credentials are in memory at once.
	pageSize = 1000
)

const usage = "say which: credential create --device=DEVICE, credential create --gateway=NAME --devices=DEVICES, credential list, or credential delete ID"

// verb is what is done with credentials.
type verb string

const (
	create verb = "create"
	list   verb = "list"
	remove verb = "delete"
)

// Request is what is to be done.
type Request struct {
	Device  string   `name:"device" placeholder:"DEVICE" help:"Of create: the device, by its key or id. It is registered where it is not there."`
	Gateway string   `name:"gateway" placeholder:"NAME" help:"Of create: what a gateway is called, which speaks for some devices."`
	Devices []string `name:"devices" placeholder:"DEVICES" help:"Of create: those for which the gateway speaks, by keys or ids, separated by commas."`

	verb verb
	id   int64 // of the credential that is to be deleted
}

// In returns what is to be done, and the flags, where a program's arguments begin with `credential`. With another word behind it,
// or none, what is returned is refused by Validate.
func In(args []string) (r Request, flags []string, ok bool) {
	if len(args) == 0 || args[0] != "credential" {
		return r, nil, false
	}
	args = args[1:]
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return r, []string{"--help"}, true
	}
	if len(args) == 0 {
		return r, nil, true
	}
	r.verb, args = verb(args[0]), args[1:]
	if r.verb == remove && len(args) > 0 {
		if id, err := strconv.ParseInt(args[0], 10, 64); err == nil && id > 0 {
			r.id, args = id, args[1:]
		}
	}
	return r, args, true
}

// Validate is called when the flags are read.
func (r *Request) Validate() error {
	none := r.Device == "" && r.Gateway == "" && len(r.Devices) == 0
	switch {
	case r.verb == list && none, r.verb == remove && none && r.id > 0:
		return nil
	case r.verb == create && r.Device != "" && r.Gateway == "" && len(r.Devices) == 0:
		_, _, err := iot.ParseDevice(r.Device)
		return err
	case r.verb == create && r.Device == "" && r.Gateway != "" && len(r.Devices) > maxDevices:
		return fmt.Errorf("a gateway speaks for %d devices at most", maxDevices)
	case r.verb == create && r.Device == "" && r.Gateway != "" && len(r.Devices) > 0:
		if id, key, err := iot.ParseDevice(r.Gateway); err != nil || key == "" {
			return cmp.Or(err, fmt.Errorf("a gateway may not be called %d, as a device is", id))
		}
		_, err := idsOf(r.Devices)
		return err
	}
	return errors.New(usage)
}

// MakesPassword reports whether there will be a new password.
func (r *Request) MakesPassword() bool { return r.verb == create }

// Do does it in store, and prints what there is to see on out. The command that publishes begins with mosquittoPub.
func (r *Request) Do(ctx context.Context, store metadata.Store, mosquittoPub string, log *slog.Logger, out io.Writer) error {
	if err := store.Prepare(ctx); err != nil {
		return err
	}
	ctx = iot.WithActor(ctx, iot.Actor{Name: "system"})
	switch r.verb {
	case list:
		return printAll(ctx, store, out)
	case remove:
		err := store.DeleteCredential(ctx, r.id)
		if errors.Is(err, iot.ErrNotFound) {
			return fmt.Errorf("there is no credential %d", r.id)
		}
		if err == nil {
			log.Info("credential deleted: who has it is shut out within a minute", "id", r.id)
		}
		return err
	}
	return r.create(ctx, store, mosquittoPub, log, out)
}

func (r *Request) create(ctx context.Context, store metadata.Store, mosquittoPub string, log *slog.Logger, out io.Writer) error {
	c, err := r.credential(ctx, store)
	if err != nil {
		return err
	}
	password := auth.NewSecret("")
	c.Type, c.Secret = iot.CredentialPassword, auth.Hash(password)
	c, err = store.CreateCredential(ctx, c)
	if errors.Is(err, iot.ErrConflict) {
		return fmt.Errorf("%q has %d passwords, and as many may be valid at once: delete one; or the name is another's", r.Device+r.Gateway, iot.MaxCredentials)
	}
	if err != nil {
		return err
	}
	log.Info("credential created: it lets in within a minute", "id", c.ID, "username", c.Name)
	device := c.Name
	if c.Device == 0 {
		device = r.Devices[0]
	}
	_, err = fmt.Fprintf(out, "username  %s\npassword  %s\npublish   %s -u %s -P %s -q 1 -t %s -m '{\"temperature\": 21.5}'\n",
		c.Name, password, mosquittoPub, ShellQuoted(c.Name), password, ShellQuoted("sensors/"+device+"/data"))
	return err
}

// credential returns what is to be made, but for its secret. The device is there afterwards.
func (r *Request) credential(ctx context.Context, store metadata.Store) (iot.Credential, error) {
	if r.Gateway != "" {
		if _, err := store.Device(ctx, iot.KeyID(r.Gateway)); !errors.Is(err, iot.ErrNotFound) {
			return iot.Credential{}, cmp.Or(err, fmt.Errorf("a gateway may not be called %q, as a device is", r.Gateway))
		}
		devices, err := idsOf(r.Devices)
		return iot.Credential{Name: r.Gateway, Devices: devices}, err
	}
	id, key, err := iot.ParseDevice(r.Device)
	if err != nil {
		return iot.Credential{}, err
	}
	ensured, err := store.EnsureDevices(ctx, []iot.Identity{{ID: id, Key: key}}, iot.Admission{})
	if err == nil && len(ensured.Collisions) > 0 {
		err = fmt.Errorf("%q has the id of another device: call it otherwise", r.Device)
	}
	if err != nil {
		return iot.Credential{}, err
	}
	d, err := store.Device(ctx, id)
	return iot.Credential{Name: cmp.Or(d.Key, d.ID.String()), Device: d.ID, Devices: []iot.DeviceID{d.ID}}, err
}

func idsOf(devices []string) ([]iot.DeviceID, error) {
	ids := make([]iot.DeviceID, len(devices))
	for i, name := range devices {
		var err error
		if ids[i], _, err = iot.ParseDevice(name); err != nil {
			return nil, err
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// printAll prints a line for each credential.
func printAll(ctx context.Context, store metadata.Store, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tUSERNAME\tTYPE\tFOR\tCREATED\tEXPIRES") // what cannot be written is said by Flush
	for q := (iot.CredentialQuery{Limit: pageSize}); ; {
		page, err := store.Credentials(ctx, q)
		if err != nil {
			return err
		}
		for _, c := range page {
			_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Name, c.Type, speaksFor(c), day(c.CreatedAt), day(c.ExpiresAt))
			q.After = c.ID
		}
		if err := w.Flush(); err != nil || len(page) < q.Limit {
			return err
		}
	}
}

// speaksFor says what a credential is good for.
func speaksFor(c iot.Credential) string {
	switch {
	case c.Viewer:
		return "looking on"
	case c.Device != 0:
		return "device " + c.Device.String()
	case len(c.Devices) == 1:
		return "a gateway of 1 device"
	}
	return fmt.Sprintf("a gateway of %d devices", len(c.Devices))
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.DateOnly)
}

// ShellQuoted is a word as a shell reads it.
func ShellQuoted(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/._-+:,@%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
