package api

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/services/query-api/access"
)

const rolesHead = `# Which role may do what

This table is made from the API's own list of routes; a test compares the two, and another asks for each of them as everybody.
What roles are: [security.md](security.md#roles).

| | |
|---|---|
| ● | may |
| own | may, with the devices that are his, and for lists: sees what is of them |
| – | is refused: 401 who has not said who he is, 403 else |

A token with ` + "`devices`" + ` is as a member for these devices, in the role that it has. *Device* is who shows a device's own credential, or a gateway's.
Where nobody is asked for credentials, everybody is an admin.

| route | nobody | device | viewer | member | operator | admin |
|---|---|---|---|---|---|---|
`

// TestRolesPage compares docs/roles.md with the routes. With -update it is written.
func TestRolesPage(t *testing.T) {
	const file = "../../../docs/roles.md"
	var page strings.Builder
	page.WriteString(rolesHead)
	for _, r := range embedded(t).api(t, nil).routes() {
		if !strings.HasPrefix(r.path, "/api/") {
			continue // pages and their parts are for everybody, and hold no data
		}
		path := regexp.MustCompile(`:(\w+)`).ReplaceAllString(strings.Replace(r.path, "*", "{topic}", 1), "{$1}")
		fmt.Fprintf(&page, "| `%s %s` | %s |\n", r.method, path, strings.Join(mayDo(t, r), " | "))
	}
	have, err := os.ReadFile(file)
	switch {
	case *update:
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil || string(have) != page.String():
		t.Errorf("%s is not what routes() says (%v): go test ./services/query-api/api -run TestRolesPage -update writes it", file, err)
	}
}

// mayDo has a cell for nobody, a device, a viewer, a member, an operator and an admin.
func mayDo(t *testing.T, r route) []string {
	t.Helper()
	const may, not = "●", "–"
	member := map[reach]string{byDevice: "own", noDevices: may, whole: not}[r.reach]
	device := not
	if r.need == access.Ingest {
		device = "own"
	}
	switch r.need {
	case access.Public:
		return []string{may, may, may, may, may, may}
	case access.Viewer, access.User:
		return []string{not, device, may, member, may, may}
	case access.Operator, access.Ingest:
		return []string{not, device, not, member, may, may}
	case access.Admin:
		return []string{not, not, not, not, not, may}
	}
	t.Errorf("%s %s: nobody has said whom it is for", r.method, r.path)
	return nil
}
