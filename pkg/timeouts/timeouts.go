// Package timeouts is the table of the times that must fit each other although several packages keep them. A time
// that one package alone keeps is a constant there.
//
//	a process is stopped: it has ended 10 s after SIGTERM
//	 0 s   Run's context ends: services take nothing new
//	 3 s   the contexts of consumers' handlers end                          HandlerGrace
//	 4 s   consumers have committed and left their groups, or are cut off   + LeaveGroup
//	 5 s   what waits for Kafka without a consumer is given up              ProducerDrain
//	 7 s   HTTP requests that still run are cut off                         HTTPDrain
//	 8 s   the MQTT broker has read the last acknowledgements               ProducerDrain + MQTTFarewell
//	 8 s   dead letters of the last handlers are given up                   HandlerGrace + ProducerDrain
//	 8 s   the log of an embedded Kafka is no longer waited for              LogClosed
//	 9 s   Run is no longer waited for                                      RunDrain
//	10 s   the process has ended                                            Stop
//
//	a dependency hangs (it shows in /readyz within 5 s)
//	 1 s   the next look at it begins                                       CheckEvery
//	 3 s   Kafka counts as away when it has said nothing for that long      KafkaUnresponsive
//	 4 s   the look ends without an answer                                  + CheckTimeout
//	 5 s   /readyz shows it                                                 Noticed
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
	// HTTPDrain is how long requests may take to be answered.
	HTTPDrain = 7 * time.Second
)

// From when a dependency hangs until /readyz shows it.
const (
	Noticed           = 5 * time.Second
	CheckEvery        = time.Second
	CheckTimeout      = 3 * time.Second
	KafkaUnresponsive = 3 * time.Second
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
