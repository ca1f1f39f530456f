// Package ownca is a certificate authority of a program's own, in a folder, and the certificate that it signs for the
// program's listeners: TLS where there is nobody to ask for a certificate. Clients have to trust the authority once, by its
// file ca.crt, and can compare its fingerprint.
//
// In the folder are:
//
//	ca.pem      the authority's key and certificate, valid for ten years
//	ca.crt      its certificate alone, for clients
//	server.pem  the key and the certificate of the listeners, valid for a year
//
// Each is replaced as a whole, so that a crash leaves the one before or the new one. Keys can be read by their user alone.
//
// The certificate is for localhost, the machine's name, the addresses of its interfaces, and the names that it is given. It
// is replaced, while the program runs, when a third of its time is left, and when the machine has got an address or a name
// that it is not for; connections that are open go on. Where it cannot be written, as on a full disk, it is shown all the
// same, and the log says why. The authority is replaced in its last 30 days, with a warning: clients have to trust the new
// one then.
//
// It is no authority for anything else: nobody can have it sign something. Who reads ca.pem can pass for any server to those who
// trust ca.crt.
//
// Bounds: a certificate is for MaxNames names and addresses at most.
package ownca
