// Package scope shows the stores as somebody sees them who may see some devices alone: a member those that he owns, a token
// those that it names, or both.
//
// Everything else is not there for him. The methods of Stores give an error, or nothing, for a device outside of a scope as
// for one that does not exist, and lists are filtered by the stores themselves, so that pages are full and cursors go on
// working. What has no device is not for him either, and of the users he sees himself.
//
// The interfaces have no method that is not filtered: what they lack nobody can ask by mistake.
//
// # What is in memory
//
//	devices of users    MaxDevices of each, 8 bytes each, of those users who asked within MaxStale, and 500,000 in all
package scope
