// Package httpguard is what stands before every HTTP port of Telltale, so that a web page of somebody else cannot use
// the browser of one who reaches the port, and so that connections are bounded.
//
// A browser sends what any page has it send. Three rules make that useless: a request has to name its server by
// localhost, an address or an allowed name, since a page whose own name resolves to this server would otherwise count as
// one of it (DNS rebinding); a write has to come from a page of the same origin, or from no page; and no page can frame an
// answer, or be made to run what is not ours.
//
// A port may be shared with pages of origins that a setting names (CORS): then they may read its answers, and write, as its own
// may, but for cookies. With * all others may read.
//
// A GET is no write for these rules. What changes something by one asks MayBePage.
//
// It is no authentication: whoever reaches a port without a browser says what he wants. What is refused is answered 421
// or 403 with {"detail": "…"}, over the limit of connections one without a request is closed, and all are counted in
// telltale_http_refused_total by port and reason, and logged at most once a minute for each.
package httpguard
