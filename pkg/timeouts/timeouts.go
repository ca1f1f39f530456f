// Package timeouts is the table of the times that must fit each other although several packages keep them. A time
// that one package alone keeps is a constant there.
//
//	a process is stopped: it has ended 10 s after SIGTERM
//	 0 s   Run's context ends: services take nothing new
//	 3 s   the contexts of consumers' handlers end                          HandlerGrace
//	 4 s   consumers have committed and left their groups, or are cut off   + LeaveGroup
//	 5 s   what waits for Kafka without a consumer is given up              ProducerDrain
//	 6 s   devices have read the last acknowledgements, or are cut off      ProducerDrain + MQTTDisconnect
//	 7 s   HTTP requests that still run are cut off                         HTTPDrain
//	 8 s   the MQTT broker has read the last acknowledgements               ProducerDrain + MQTTFarewell
//	 8 s   dead letters of the last handlers are given up                   HandlerGrace + ProducerDrain
//	 8 s   the log of an embedded Kafka is no longer waited for              LogClosed
//	 8.4 s the clients of servers are closed, one after the other           + CloseClient, for each
//	 9 s   Run is no longer waited for                                      RunDrain
//	10 s   the process has ended                                            Stop
//
//	a dependency hangs (it shows in /readyz within 5 s)
//	 1 s   the next look at it begins                                       CheckEvery
//	 3 s   Kafka counts as away when it has said nothing for that long      KafkaUnresponsive
//	 3.5 s an MQTT broker counts as away                                    MQTTCheckEvery + MQTTUnresponsive
//	 4 s   the look ends without an answer                                  + CheckTimeout
//	 5 s   /readyz shows it                                                 Noticed
//
//	a store hangs, and a request to the API needs it
//	 2 s   a health check of the store returns why it fails                 MongoCheck, RedisAnswer
//	 2 s   a search ends with what it has found                             Search
//	 3 s   a replay no longer waits for Kafka                               ReplaySend
//	 5 s   the request is answered with 503                                 StoreRequest
//	 5 s   a call to MongoDB that is not a request's fails                  MongoCall
//	10 s   one to an SQL database does                                      SQLCall
package timeouts

import "time"

// From SIGTERM to the end of the process.
const (
	// Stop is how long a process has. Compose gives 15 s, and the manifests in k8s 20 s and more.
	Stop = 10 * time.Second
	// RunDrain is how long Run may take to return. What is left is for the log and the exit.
	RunDrain = Stop - time.Second
	// HandlerGrace is how long a consumer's handler may go on when its partition was taken away or the process stops.
	HandlerGrace = 3 * time.Second
	// LeaveGroup is how long the last commit and leaving the group may take after that.
	LeaveGroup = time.Second
	// ProducerDrain is how long a producer goes on sending. One that consumers' handlers use begins after HandlerGrace.
	ProducerDrain = 5 * time.Second
	// MQTTFarewell is how long the broker of a subscribing bridge may take, after that, to read what is sent to it.
	MQTTFarewell = 3 * time.Second
	// LogClosed is when the log of an embedded Kafka is no longer waited for. A start after that reads all of it.
	LogClosed = 8 * time.Second
	// MQTTDisconnect is how long devices may take, after that, to read what a listening bridge sends last.
	MQTTDisconnect = time.Second
	// HTTPDrain is how long requests may take to be answered.
	HTTPDrain = 7 * time.Second
	// SimulatorDrain is how long a simulator waits for the last acknowledgements.
	SimulatorDrain = 5 * time.Second
	// CloseClient is how long the client of a server may take to close, when all its calls have ended.
	CloseClient = 200 * time.Millisecond
)

// From when a dependency hangs until /readyz shows it.
const (
	Noticed           = 5 * time.Second
	CheckEvery        = time.Second
	CheckTimeout      = 3 * time.Second
	KafkaUnresponsive = 3 * time.Second
	// MQTTCheckEvery is how often the activity of an MQTT broker is looked at.
	MQTTCheckEvery   = time.Second
	MQTTUnresponsive = 2500 * time.Millisecond
)

// Calls to stores. A request to the API has its own limits, which come first: it is answered in time whatever the store,
// and the limits of the stores' clients are for who has none.
const (
	// StoreRequest is how long the stores may take to answer one request.
	StoreRequest = 5 * time.Second
	// HistoryRequest is how long a chart may take: millions of values may have to be read for it.
	HistoryRequest = 20 * time.Second
	// CountRequest is how long counting all readings may take for a request.
	CountRequest = 30 * time.Second
	// Search is how long a request looks for readings; then it says how far it has come.
	Search = 2 * time.Second
	// ReplaySend is how long Kafka may take to take the readings of a request.
	ReplaySend = 3 * time.Second

	SQLConnect = 5 * time.Second
	SQLCall    = 10 * time.Second
	// SQLiteBusy is how long another writer of a file is waited for.
	SQLiteBusy = 5 * time.Second

	MongoCall  = 5 * time.Second // unless the URI says otherwise
	MongoCheck = 2 * time.Second
	MongoCount = time.Minute // of a whole collection

	// RedisAnswer bounds dialling, and the wait for an answer. That a server hangs can take two of them to show.
	RedisAnswer = 2 * time.Second
)

// A request to Kafka, and the membership of a group.
const (
	// KafkaRequest is how long a response may take.
	KafkaRequest = 5 * time.Second
	// KafkaReplication is how long of that the broker waits for replicas. It answers with a retriable error when
	// they take longer.
	KafkaReplication = 3 * time.Second
	// GroupHeartbeat is how soon members learn of a rebalance.
	GroupHeartbeat = time.Second
	// GroupSession is how soon the partitions of a member that died move on.
	GroupSession = 10 * time.Second
	// GroupRebalance is how long a member may take to join again when the group is divided anew.
	GroupRebalance = 10 * time.Second
)
