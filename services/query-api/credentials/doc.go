// Package credentials keeps Kafka's topic of credentials, from which bridges know who gets in, as the database has it.
//
// The database counts. Each change is published right after it is committed, by the replica that made it. What that misses,
// since Kafka was away, the replica died, or the topic was deleted, is repaired by comparing the two: when the process
// starts, each minute, and 2 s after something failed or was repaired. Every replica does so, at the same time as others
// too.
//
// Nothing that was deleted comes back by itself. To compare, the topic is read before the database: a credential that is on
// the topic was in the database, and no id is given twice, so that where it is not found there it was deleted, and is ended
// on the topic. The other way, one that was published may have been deleted meanwhile by another replica, which has ended it
// on the topic already; so whoever has published looks into the database again, and ends what is gone.
//
// While Kafka is away changes are committed all the same, and reach bridges when it is back: until then a new credential does
// not let in, and a deleted one still does. Bridges that cannot reach Kafka acknowledge nothing meanwhile. While the database is away nothing changes.
//
// # What is in memory
//
//	while the topic and the database are compared   the ids of all credentials on the topic, about 40 bytes each, and
//	                                                a page of 1,000 credentials (TestManyCredentials)
//	records that Kafka has not answered for         one of each request, and of a page; none while it is known to be away
package credentials
