// Package api is Telltale's HTTP interface: users and devices, stored readings, and latest values.
//
// openapi.yaml is the contract, routes.go the list of what is served, and each handler reads its request,
// asks one store and writes JSON; there is nothing in between. Errors travel as Go errors to one place,
// errors.go, that turns them into the statuses and bodies of Django REST framework, in which this API was
// first written and which its clients know.
//
// The package keeps no state of its own, so any number of replicas can run. While a store is away, what
// needs it answers 503 with Retry-After, everything else goes on, and GET /api/latest/{id}/ goes on from
// the stored readings when only the cache is away. Requests, their bodies and the work they cause are
// bounded (limits.go); beyond the bounds the answer is 503 or 413, never a growing process.
package api
