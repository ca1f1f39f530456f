package access

import "github.com/telltale-iot/telltale/pkg/iot"

// Need is what a route asks of who sends a request. Its zero value lets nobody in.
type Need string

const (
	Public   Need = "public"   // nothing
	Viewer   Need = "viewer"   // that he may read
	Operator Need = "operator" // that he may change devices, or what becomes of their messages
	Admin    Need = "admin"
	User     Need = "user"   // that he has logged in, in whatever role
	Ingest   Need = "ingest" // that he is an operator, or a device
)

// Allows reports whether p has what n asks. A member is taken for an operator, and a token that is for some devices has its
// role: which devices they see is for the handlers.
func (n Need) Allows(p *Principal) bool {
	switch n {
	case Public:
		return true
	case Viewer, User:
		return p.Role != ""
	case Operator:
		return p.Role.Covers(iot.RoleOperator) || p.Role == iot.RoleMember
	case Admin:
		return p.Role == iot.RoleAdmin && !p.Limited()
	case Ingest:
		return p.Kind == Device || Operator.Allows(p)
	default:
		return false
	}
}
