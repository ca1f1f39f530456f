// Package dynsec keeps the accounts of Mosquitto's dynamic-security plugin in step with the credentials of devices. A
// device's credential is a client there that may publish to the device's topics and do nothing else, a gateway's one that
// may publish to those of all its devices and where the message alone names the device, a viewer's one that may subscribe
// to sensors/#.
//
// The plugin hashes passwords itself, with a salt of its own, and takes no hash: so it has to be told a password while that is
// known, which is once. Put does that before the password is shown, and what it returns decides whether it is. Everything
// else a Keeper finds out by comparing both sides: when it has connected, each minute, and when it is woken. It
// reads Mosquitto first and then the store: a client whose credential is gone was revoked, and goes, which cuts its connection.
// A credential without its client cannot be made good: the log names it, and another one has to be made in its place.
//
// A client is told by the id of its credential in its textname, a role by its name; whatever else is there, people's own
// accounts as well, is neither changed nor removed. The plugin has one password for a name: a second credential of a name
// replaces the first one there. Certificates are not kept.
//
// While Mosquitto is away passwords cannot be made, and what is revoked goes when it is back. While the store is away
// everything stays as it is.
//
// In memory: the ids and names of all clients and roles, and the credentials, while they are compared; one request at a time,
// of maxRequest bytes, and its answer, a page of the plugin's.
package dynsec
