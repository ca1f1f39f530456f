// Package access says who sends a request to the query-api, and lets those in who may do what they ask for.
//
// Which listener asks for credentials is for package auth to say. Somebody has a token in the header Authorization, or is a
// browser with the cookie of a session. A token in a URL is none: URLs are in logs and histories. What nobody may know is
// kept as a hash, and shown in no log, metric or audit.
//
// A cookie counts only for requests that a page of this origin sends, or the user himself: CORS_ORIGINS opens the API to
// pages of other origins, and does not lend them who is logged in here.
//
// A device sends readings with its credential, by HTTP Basic, and can do nothing else. Its credential is known from the topic of
// credentials, so that it gets in while the metadata store is away, and no more within seconds of its being deleted.
//
// A token that is deleted or has expired, and a user who is disabled, are out within MaxStale. While the metadata store is
// away no user is known, and requests that need one are 503.
//
// # What is in memory
//
//	tokens that were used lately        4,096, for MaxStale; beyond, all are looked up again
//	log-ins that failed lately          10,000 pairs of network and user name; beyond, one of them is forgotten (package auth)
//	passwords that wait for their turn  20, 4 of a network; beyond, the log-in is 503
//	credentials of devices              what package credentials says
//	uses of tokens to be noted          256; beyond, they are noted at the next use
package access
