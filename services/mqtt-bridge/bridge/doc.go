// Package bridge is the service that takes readings from MQTT to Kafka. It puts together:
//
//   - listen, the MQTT endpoint that devices connect to, or subscribe, which subscribes to a broker: the
//     sources;
//   - session, the in-flight window of an MQTT session: the order of acknowledgements, redeliveries, QoS 2;
//   - pipeline, the way of a message to Kafka: decode, produce, done;
//   - ignored, which lists what becomes no part of a reading, and trace, which keeps what was seen of devices;
//   - packet, paced and budget below them: MQTT's packets, connections that share wake-ups, and the bound of memory.
//
// Sources know session and pipeline, which do not know each other or them: a source hands pipeline a Message and the
// function that session returned for it. The way of a reading and of its acknowledgement:
//
//	listen/handle.go       publish: a PUBLISH is read, and there is room for it
//	session/session.go     Accept: it is put at the end of the in-flight window
//	pipeline/pipeline.go   Handle: its readings are produced
//	pipeline/delivery.go   finish: Kafka has acknowledged all of them, done(nil)
//	session/window.go      acknowledge: PUBACK or PUBREC for the oldest messages of the window, as far as all are done
//	paced/conn.go          Queue: they are written, with others, within 5 ms
//
// What happens on failure:
//
//   - Kafka is away: acknowledgements wait, for as long as it takes. What waits is bounded. A listening bridge
//     stops reading from devices then; a subscribed one takes no more messages, keeps its connection, and lets
//     the broker redeliver them later.
//   - A connection breaks: the peer redelivers what was not acknowledged. What of that still waits for Kafka is
//     recognised; what had reached Kafka may be there twice. Everything downstream copes with that.
//   - The bridge stops: it takes nothing new, waits up to 5 s for Kafka, acknowledges, disconnects. What
//     is not acknowledged by then, the peer redelivers.
//   - Kafka refuses a record for good: one that is too large goes to the dead-letter topic, cut if need
//     be; anything else breaks the connection, and the message, which is not acknowledged, is redelivered
//     at QoS 1 and 2. At QoS 0 it is lost, and counted as failed.
//
// # Buffers
//
// Every buffer, its bound, and the test of it:
//
//	messages in flight to Kafka            16 MiB and one message, for all        pipeline: TestMemoryInFlight
//	records of a message, when listening   256 at a time, fewer of long ones      pipeline: TestLongMessages
//	messages in flight of a connection     16,384, of 128 bytes of the 16 MiB     session: TestReconnect
//	packet ids that are remembered         16 a session by right; 4 MiB for all   session: TestQoS2
//	packets that are not complete          4 KiB a connection; 8 MiB for longer   listen: TestSlowPackets
//	                                       ones; 30 s
//	TLS handshakes                         64 at a time; 10 s                     listen: TestHandshakes
//	requests for a WebSocket               256 at a time, of 8 KiB; 10 s          listen: TestSlowWebSockets
//	frames of a WebSocket                  1 KiB a connection, to read through;   listen: TestLimitsOfWebSocket
//	                                       none is kept whole
//	connections                            MQTT_MAX_CONNECTIONS; as many that     listen: TestPendingConnections
//	                                       have not sent their CONNECT for 10 s,
//	                                       of which 200 of an address are read
//	sessions without a connection          10,000 and 10 min, where something     listen: TestDetachedSessions
//	                                       is left of them
//	wills and topic aliases                4 KiB, 5 min; 16 of 512 bytes; 1 KiB   listen: TestWills, TestTopicAliases
//	                                       a session by right, 4 MiB for all
//	subscriptions                          20 a session, 2,000 for all, of 512    listen: TestSubscriptions
//	                                       bytes and 16 levels
//	messages for a subscriber              1 MiB; 8 MiB for all                   listen: TestSubscriberThatDoesNotRead
//	answers to a client                    4 KiB, then it is not read from; 10 s  listen: TestAnswersThatNobodyReads
//	topics that devices announce           4 MiB, when subscribed                 subscribe: TestFollowed
//	stamps                                 131,072 devices                        stamp: TestBound
//	what is ignored                        200 topics and members of 1.2 KiB,     ignored: TestBounds
//	                                       and as many records; 180 a minute
//	what was seen of devices               1 MiB for devices, 1 MiB for clients;  trace: TestBounds
//	                                       4 records a second
//	credentials of devices                 40 MiB; 100,000 take 18 MB             credentials: TestMemory, TestBound
//	wrong passwords                        10,000 user names and addresses        auth: TestGuesses
//	whom the bridge refuses                10,000 of 1.5 KiB; 100 records a       refused: TestBounds
//	                                       second
//	what waits for Kafka of these three    256 KiB each                           compacted: TestTellerBounds
//
// In the subscribed mode paho reads one packet at a time, of any size that the broker sends.
package bridge
