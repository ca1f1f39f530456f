package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicName is that of the readings.
const topicName = "raw-data"

// frame is a request of Kafka's protocol, as the client that calls itself x sends it.
func frame(r kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("x")).AppendRequest(nil, r, 7)
}

// unknownKey sends requests with keys that no version of Kafka has, and frames that are none.
func unknownKey(ctx context.Context, a *attacker) error {
	for i, b := range [][]byte{
		{0, 0, 0, 0x0b, 0x03, 0xe7, 0, 0, 0, 0, 0, 7, 0, 1, 'x'}, // key 999
		{0, 0, 0, 0x0b, 0xff, 0xff, 0, 0, 0, 0, 0, 7, 0, 1, 'x'}, // key -1
		{0, 0, 0, 0x0b, 0, 0, 0x7f, 0xff, 0, 0, 0, 7, 0, 1, 'x'}, // a version of Produce to come
		{0, 0, 0, 0},
		{0, 0, 0, 1, 0},
		{0xff, 0xff, 0xff, 0xff, 0},
		{0, 0, 0, 0x0a, 0, 3, 0, 0, 0, 0, 0, 7, 0x7f, 0xff},                               // a client id beyond the frame
		append([]byte{0, 0, 0, 14, 0, 1, 0, 4, 0, 0, 0, 7, 0, 0}, 0x7f, 0xff, 0xff, 0xff), // Fetch, cut off
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		p, err := a.dial(ctx, 2+i, a.kafka)
		if err != nil {
			return err
		}
		_, _ = p.Write(b)
		_ = p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // it may wait for more
		_, _ = p.in.ReadByte()
	}
	return a.ended()
}

// announced sends the beginnings of frames of 2 GB, and of the largest that are taken.
func announced(ctx context.Context, a *attacker) error {
	filler := make([]byte, 64<<10)
	crowd(ctx, 400, 32, func(i int) {
		p, err := a.dial(ctx, 2+i%10, a.kafka)
		if err != nil {
			return
		}
		size := uint32(0x7fff_ffff)
		if i%2 == 1 {
			size = 1 << 20
		}
		head := []byte{0, 3, 0, 0, 0, 0, 0, 7, 0, 1, 'x'} // Metadata
		_ = p.SetWriteDeadline(time.Now().Add(2 * time.Second))
		_, err = p.Write(append(u32(size), head...))
		for range 15 {
			if err == nil {
				_, err = p.Write(filler)
			}
		}
	})
	wait(ctx, time.Second)
	return nil
}

// kafkaIdle opens 5,000 connections to Kafka that say nothing.
func kafkaIdle(ctx context.Context, a *attacker) error {
	crowd(ctx, 5000, 32, func(i int) { _, _ = a.dial(ctx, 2+i%10, a.kafka) })
	wait(ctx, time.Second)
	return nil
}

// foreignWrites asks for what changes topics, records and Telltale's own groups. All of it must be refused.
func foreignWrites(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, longest/2)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(a.kafka), kgo.RequestRetries(0), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
	if err != nil {
		return err
	}
	defer c.Close()
	var errs []error
	refused := func(what string, code int16, err error) {
		if err == nil && code == 0 {
			errs = append(errs, fmt.Errorf("%s was not refused", what))
		}
	}
	refused("Produce", 0, c.ProduceSync(ctx, &kgo.Record{Topic: topicName, Value: []byte(`{"device_id": 1, "temperature": 1}`)}).FirstErr())

	creation := kmsg.NewPtrCreateTopicsRequest()
	creation.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "foreign", NumPartitions: 1, ReplicationFactor: 1}}
	created, err := creation.RequestWith(ctx, c)
	refused("CreateTopics", codeOf(err, func() int16 { return created.Topics[0].ErrorCode }), err)

	partitions := kmsg.NewPtrCreatePartitionsRequest()
	partitions.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: topicName, Count: 100}}
	grown, err := partitions.RequestWith(ctx, c)
	refused("CreatePartitions", codeOf(err, func() int16 { return grown.Topics[0].ErrorCode }), err)

	cut := kmsg.NewPtrDeleteRecordsRequest()
	cut.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topicName, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}
	cutOff, err := cut.RequestWith(ctx, c)
	refused("DeleteRecords", codeOf(err, func() int16 { return cutOff.Topics[0].Partitions[0].ErrorCode }), err)

	group := kmsg.NewPtrDeleteGroupsRequest()
	group.Groups = []string{"ingest-writer"}
	ungrouped, err := group.RequestWith(ctx, c)
	refused("DeleteGroups", codeOf(err, func() int16 { return ungrouped.Groups[0].ErrorCode }), err)

	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "ingest-writer", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topicName, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1 << 40}}}}
	committed, err := commit.RequestWith(ctx, c)
	refused("OffsetCommit of ingest-writer", codeOf(err, func() int16 { return committed.Topics[0].Partitions[0].ErrorCode }), err)

	// Last, since it is what ends all else.
	deletion := kmsg.NewPtrDeleteTopicsRequest()
	deletion.TopicNames = []string{topicName}
	deletion.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr(topicName)}}
	deleted, err := deletion.RequestWith(ctx, c)
	refused("DeleteTopics", codeOf(err, func() int16 { return deleted.Topics[0].ErrorCode }), err)
	return errors.Join(errs...)
}

// codeOf is the error code in an answer, where there is one.
func codeOf(err error, code func() int16) int16 {
	if err != nil {
		return 0
	}
	return code()
}

// foreignGroups commits offsets for 20,000 groups, and joins one with 500 members that do nothing then.
func foreignGroups(ctx context.Context, a *attacker) error {
	crowd(ctx, 20, 20, func(i int) {
		p, err := a.dial(ctx, 2+i, a.kafka)
		if err != nil {
			return
		}
		for n := range 1000 {
			commit := kmsg.NewPtrOffsetCommitRequest()
			commit.Version, commit.Generation = 2, -1
			commit.Group = fmt.Sprintf("foreign-%d-%d-%s", i, n, strings.Repeat("x", 200))
			note := strings.Repeat("y", 4000)
			commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topicName, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1, Metadata: &note}}}}
			if _, err := p.request(commit); err != nil || ctx.Err() != nil {
				return
			}
		}
	})
	crowd(ctx, 500, 50, func(i int) {
		if p, err := a.dial(ctx, 2+i%10, a.kafka); err == nil {
			join := kmsg.NewPtrJoinGroupRequest()
			join.Group, join.SessionTimeoutMillis, join.ProtocolType = "joined", 1_800_000, "consumer"
			join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "x", Metadata: make([]byte, 100_000)}}
			_, _ = p.Write(frame(join))
		}
	})
	wait(ctx, time.Second)
	return nil
}

// unreadFetches asks again and again for all there is, and does not read the answers.
func unreadFetches(ctx context.Context, a *attacker) error {
	if err := a.fill(ctx); err != nil {
		return err
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MinBytes, fetch.MaxBytes, fetch.MaxWaitMillis = 4, 1, 1<<31-1, 100
	topic := kmsg.FetchRequestTopic{Topic: topicName}
	for p := range int32(4) {
		topic.Partitions = append(topic.Partitions, kmsg.FetchRequestTopicPartition{Partition: p, PartitionMaxBytes: 1<<31 - 1})
	}
	fetch.Topics = []kmsg.FetchRequestTopic{topic}
	b := frame(fetch)
	crowd(ctx, 100, 20, func(i int) {
		if p, err := a.dial(ctx, 2+i%10, a.kafka); err == nil {
			_, _ = p.Write(append(append(append([]byte(nil), b...), b...), b...))
		}
	})
	wait(ctx, attackTime)
	return nil
}

// request sends a request, and reads the answer.
func (p *peer) request(r kmsg.Request) ([]byte, error) {
	_ = p.SetDeadline(time.Now().Add(answerTime))
	if _, err := p.Write(frame(r)); err != nil {
		return nil, err
	}
	return readFrame(p.in)
}

func readFrame(r *bufio.Reader) ([]byte, error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	if size > 64<<20 {
		return nil, errors.New("an answer of more than 64 MiB")
	}
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}

// mutatedRequests sends 5,000 requests to Kafka that were valid once. Those that write are not among them: a
// port that takes no writes has refused these, however they are spelt.
func mutatedRequests(ctx context.Context, a *attacker) error {
	seed := a.dice.Uint64()
	crowd(ctx, 8, 8, func(i int) {
		dice := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // dice, not secrets
		for sent := 0; sent < 625 && ctx.Err() == nil; {
			p, err := a.dial(ctx, 2+i, a.kafka)
			if err != nil {
				return
			}
			for n := 0; n < 10; n++ {
				sent++
				if _, err := p.Write(mutateFrame(dice, frame(someRequest(dice)))); err != nil {
					break
				}
			}
			_ = p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			_, _ = io.Copy(io.Discard, p.in)
			_ = p.Close()
		}
	})
	return a.ended()
}

// someRequest is one of those that read, in any of its versions.
func someRequest(dice *rand.Rand) kmsg.Request {
	keys := []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.OffsetFetch, kmsg.FindCoordinator, kmsg.Heartbeat, kmsg.LeaveGroup,
		kmsg.DescribeGroups, kmsg.ListGroups, kmsg.ApiVersions, kmsg.DescribeConfigs, kmsg.DescribeCluster, kmsg.DescribeTopicPartitions,
		kmsg.OffsetForLeaderEpoch, kmsg.DescribeProducers, kmsg.DescribeTransactions, kmsg.DescribeLogDirs, kmsg.SASLHandshake}
	r := keys[dice.IntN(len(keys))].Request()
	r.SetVersion(int16(dice.IntN(int(r.MaxVersion()) + 1)))
	return r
}

// mutateFrame changes a frame behind its length and key, and lets its length be true mostly.
func mutateFrame(dice *rand.Rand, b []byte) []byte {
	head, rest := b[:6], b[6:]
	m := append(append([]byte(nil), head...), mutate(dice, rest)...)
	if dice.IntN(10) > 0 {
		binary.BigEndian.PutUint32(m, uint32(len(m)-4))
	}
	return m
}
