package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// readAll follows the links of a list to its end, and returns all of it.
func readAll[T any](t *testing.T, path string) (all []T) {
	t.Helper()
	for at := sut.http + path; at != ""; {
		a := call(t, http.MethodGet, at, "")
		all = append(all, decode[[]T](t, a, http.StatusOK)...)
		at = a.next(t, at)
	}
	return all
}

// TestPages reads lists in small pages while new readings arrive.
func TestPages(t *testing.T) {
	t.Parallel()
	const n = 60
	for name, next := range map[string]func(t *testing.T, at, link string) string{
		"a client that resolves the link": func(t *testing.T, at, link string) string {
			base, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			target, err := base.Parse(link)
			if err != nil {
				t.Fatal(err)
			}
			return target.String()
		},
		"a client that puts the link behind the server's address": func(t *testing.T, _, link string) string {
			u, err := url.Parse(link)
			if err != nil || !strings.HasPrefix(u.Path, "/") {
				t.Fatalf("link %s: %v", link, err)
			}
			return sut.http + u.RequestURI()
		},
	} {
		for _, form := range []string{"/api/devices/%d/readings/?", "/api/devices/%d/readings?", "/api/readings/?device_id=%d&"} {
			t.Run(name+" that reads "+form+" misses and repeats nothing while new readings arrive", func(t *testing.T) {
				t.Parallel()
				id := deviceWithReadings(t, n)
				seen := map[int]int{}
				for page, i := sut.http+fmt.Sprintf(form, id)+"limit=7&until=2025-01-01T00:00:00Z", 0; page != ""; i++ {
					a := call(t, http.MethodGet, page, "")
					for _, r := range decode[[]reading](t, a, http.StatusOK) {
						seen[int(*r.Temperature)]++
					}
					// One that belongs in front of the current page, and one of now that does not belong in it.
					publish(t, topicOf(id), fmt.Sprintf(`[{"temperature": %d, "timestamp": %q}, {"temperature": 999}]`, 1000+i, at(1000+i)))
					link := a.header.Get("Link")
					if link == "" {
						break
					}
					page = next(t, page, strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`))
				}
				for i := range n {
					if seen[i] != 1 {
						t.Errorf("reading %d was seen %d times", i, seen[i])
					}
				}
				if len(seen) != n {
					t.Errorf("%d readings, want the %d from before the first page: %v", len(seen), n, seen)
				}
			})
		}
	}
	t.Run("readings of many devices at the same moment are read once each", func(t *testing.T) {
		t.Parallel()
		const fleet = 20
		moment := fmt.Sprintf("2011-03-%02dT%02d:%02d:00.%03dZ", 1+firstDevice/7%28, firstDevice/11%24, firstDevice/13%60, firstDevice/17%1000)
		var batch []string
		want := map[int64]bool{}
		for range fleet {
			id := newDevice()
			want[id] = true
			batch = append(batch, fmt.Sprintf(`{"device_id": %d, "temperature": 1, "timestamp": %q}`, id, moment))
		}
		publish(t, "sensors/data", "["+strings.Join(batch, ",")+"]")
		for id := range want {
			produced(t, id, 1)
		}
		waitForConsumers(t)
		seen := map[int64]int{}
		until := strings.Replace(moment, "Z", "9Z", 1)
		for _, r := range readAll[reading](t, fmt.Sprintf("/api/readings/?limit=3&since=%s&until=%s", moment, until)) {
			seen[r.Device]++
		}
		for id := range want {
			if seen[id] != 1 {
				t.Errorf("device %d was seen %d times", id, seen[id])
			}
		}
	})
	t.Run("lists of users that were cut go on", func(t *testing.T) {
		t.Parallel()
		want := map[int64]bool{newUser(t).ID: true, newUser(t).ID: true, newUser(t).ID: true}
		seen := map[int64]int{}
		for _, u := range readAll[user](t, "/api/users/?limit=2") {
			seen[u.ID]++
		}
		for id := range want {
			if seen[id] != 1 {
				t.Errorf("user %d was seen %d times", id, seen[id])
			}
		}
	})
	for _, path := range []string{"/api/users/", "/api/devices/"} {
		t.Run(path+" knows the same limits", func(t *testing.T) {
			t.Parallel()
			for _, limit := range []string{"0", "10001", "ten"} {
				wantFields(t, call(t, http.MethodGet, path+"?limit="+limit, ""), "limit")
			}
		})
	}
}
