// Package api is Telltale's HTTP interface: users and devices, stored readings, and latest values.
//
// openapi.yaml is the contract, routes.go the list of what is served, and each handler reads its request,
// asks one store and writes JSON; there is nothing in between. Errors travel as Go errors to one place,
// errors.go, that turns them into the statuses and bodies of Django REST framework, in which this API was
// first written and which its clients know.
//
// The package keeps no state of its own, so any number of replicas can run. While a store is away, what
// needs it answers 503 with Retry-After, everything else goes on, and GET /api/latest/{id}/ goes on from
// the stored readings when only the cache is away.
//
// What requests cost is bounded (limits.go); beyond the bounds the answer is 503, 413 or 408, never a growing
// process:
//
//   - the requests to a store by their number, and the time that the store may take for one;
//   - a request's body by its length and the time it may take to arrive, which comes before all else, and the
//     bodies of all requests by their bytes (body.go);
//   - pages of readings, lists of users and devices, and dead letters by how many are fetched and made into JSON
//     at the same time; requests wait for one another (answer.go);
//   - all latest readings, and the counts of all readings, by being fetched once for all who ask at the same time
//     (shared.go);
//   - the answers that clients have not taken yet by their bytes, but for small ones, and the time that a client may
//     take for one (answer.go). An answer being sent takes nothing of the other bounds but its place among the
//     requests to a store.
package api
