package iot

import "testing"

func TestRoleCovers(t *testing.T) {
	covers := map[Role][]Role{
		RoleAdmin:    Roles,
		RoleOperator: {RoleViewer, RoleOperator, RoleMember},
		RoleViewer:   {RoleViewer},
		RoleMember:   {RoleMember},
	}
	for _, role := range Roles {
		for _, other := range Roles {
			want := false
			for _, covered := range covers[role] {
				want = want || covered == other
			}
			if role.Covers(other) != want {
				t.Errorf("%s covers %s: %v", role, other, !want)
			}
		}
	}
}
