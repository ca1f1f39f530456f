package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// inside is a client within the process that sends single requests.
func inside(t testing.TB, k *Kafka) *kgo.Client {
	t.Helper()
	return raw(t, k, kgo.Dialer(k.Dial))
}

func raw(t testing.TB, k *Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.Addr()), kgo.RetryTimeout(time.Millisecond), kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// holdSyncs has no round of syncs begin until release is called.
func holdSyncs(d *disk) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.running {
		d.turn.Wait()
	}
	d.running = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.running = false
		d.turn.Broadcast()
	}
}

// produceRequest is a request with a batch of one record, as of the producer with that id.
func produceRequest(topic string, producer int64, sequence int32) *kmsg.ProduceRequest {
	record := kmsg.Record{Value: fmt.Appendf(nil, "%d", sequence)}
	body := record.AppendTo(nil)[1:] // but for its length, which is a byte
	record.Length = int32(len(body))
	b := kmsg.RecordBatch{
		Magic: 2, ProducerID: producer, FirstSequence: sequence, NumRecords: 1, Records: record.AppendTo(nil),
		FirstTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_000,
	}
	b.Length = int32(len(b.AppendTo(nil)) - batchLengthStart)
	b.CRC = int32(checksum(b.AppendTo(nil)))
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = b.AppendTo(nil)
	request := kmsg.NewPtrProduceRequest()
	request.Acks = -1
	request.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{partition}}}
	return request
}

// produce sends the batch, and returns what became of it.
func produce(t testing.TB, client *kgo.Client, topic string, producer int64, sequence int32) error {
	t.Helper()
	response, err := produceRequest(topic, producer, sequence).RequestWith(t.Context(), client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
}

// fetchRequest asks for the records of partition 0 from offset on.
func fetchRequest(topic string, offset int64) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.MaxBytes, r.SessionEpoch = 1<<20, -1
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes, part.CurrentLeaderEpoch, part.FetchOffset = 1<<20, -1, offset
	r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{part}}}
	return r
}

func TestNothingIsAnsweredBeforeItIsSynced(t *testing.T) {
	k := open(t, KafkaConfig{Dir: t.TempDir()})
	c := newClient(t, k.Addr(), 1)
	client := inside(t, k)
	if err := produce(t, client, c.cfg.Topic, -1, 0); err != nil {
		t.Fatal(err)
	}
	ends := kmsg.NewPtrListOffsetsRequest()
	ends.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: c.cfg.Topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1, CurrentLeaderEpoch: -1}}}}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "g", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: c.cfg.Topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
	for name, request := range map[string]kmsg.Request{
		"a batch": produceRequest(c.cfg.Topic, -1, 1), "records": fetchRequest(c.cfg.Topic, 0), "the end of the log": ends, "an offset": commit,
	} {
		t.Run(name, func(t *testing.T) {
			release := holdSyncs(k.disk)
			var answered atomic.Bool
			done := make(chan error, 1)
			go func() {
				_, err := inside(t, k).Broker(0).Request(t.Context(), request)
				answered.Store(true)
				done <- err
			}()
			for !syncWaits(k.disk) && !answered.Load() {
				time.Sleep(time.Millisecond)
			}
			if answered.Load() {
				t.Error("it has its response")
			}
			release()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAfterAFailedSync(t *testing.T) {
	dir := t.TempDir()
	k, err := StartKafka(KafkaConfig{Dir: dir, Addr: "127.0.0.1:0", Writes: true, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, k.Addr(), 1)
	client := inside(t, k)
	if err := produce(t, client, c.cfg.Topic, -1, 0); err != nil {
		t.Fatal(err)
	}
	if err := k.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := k.disk.tails[partition{c.cfg.Topic, 0}].file
	if err := file.Close(); err != nil { // from now on it cannot be synced
		t.Fatal(err)
	}
	for range 20 {
		if err := produce(t, inside(t, k), c.cfg.Topic, -1, 1); err == nil {
			t.Error("a batch is acknowledged after a sync that failed")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for what, err := range map[string]error{"Check": k.Check(ctx), "Wait": k.Wait(ctx), "Close": k.Close(ctx)} {
		if err == nil || !strings.Contains(err.Error(), file.Name()) {
			t.Errorf("%s says %v, want the name of the file", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, closedMark)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its end is marked as a good one: %v", err)
	}
	k = open(t, KafkaConfig{Dir: dir})
	if err := k.Check(ctx); err != nil {
		t.Error(err)
	}
	if err := produce(t, inside(t, k), c.cfg.Topic, -1, 1); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestCloseOnASlowDisk has the last sync take as long as the test wants.
func TestCloseOnASlowDisk(t *testing.T) {
	dir := t.TempDir()
	k := open(t, KafkaConfig{Dir: dir})
	c := newClient(t, k.Addr(), 1)
	if err := produce(t, inside(t, k), c.cfg.Topic, -1, 0); err != nil {
		t.Fatal(err)
	}
	mark := func() bool {
		_, err := os.Stat(filepath.Join(dir, closedMark))
		return err == nil
	}
	release := holdSyncs(k.disk)
	waiting, giveUp := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() { closed <- k.Close(waiting) }()
	for !syncWaits(k.disk) && len(closed) == 0 {
		time.Sleep(time.Millisecond)
	}
	giveUp()
	if err := <-closed; !errors.Is(err, context.Canceled) || mark() {
		t.Errorf("while it is still being closed: %v, and marked as closed: %v", err, mark())
	}
	go func() { closed <- k.Close(t.Context()) }()
	release()
	if err := <-closed; err != nil || !mark() {
		t.Errorf("when it is closed: %v, and marked as closed: %v", err, mark())
	}
	open(t, KafkaConfig{Dir: dir})
}

// syncWaits reports whether somebody waits for a round of syncs.
func syncWaits(d *disk) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting > 0
}

// TestABatchThatWasNotWritten has a disk that is full refuse a batch that kfake has counted already.
func TestABatchThatWasNotWritten(t *testing.T) {
	dir := t.TempDir()
	k := open(t, KafkaConfig{Dir: dir})
	c := newClient(t, k.Addr(), 1)
	client := inside(t, k)
	segment := segmentPath(partition{c.cfg.Topic, 0}.dir(dir), 0)
	if err := os.MkdirAll(filepath.Dir(segment), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", segment); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, client, c.cfg.Topic, 7, 0); err == nil {
		t.Fatal("acknowledged with the disk full")
	}
	if err := os.Remove(segment); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, client, c.cfg.Topic, 7, 0); err == nil {
		t.Error("acknowledged as a duplicate of what was not written")
	}
	for sequence := range int32(3) {
		if err := produce(t, client, c.cfg.Topic, 8, sequence); err != nil {
			t.Errorf("with space again: %v", err)
		}
		if err := produce(t, client, c.cfg.Topic, 8, sequence); err != nil {
			t.Errorf("a true duplicate: %v", err)
		}
	}
	if n := records(k, c.cfg.Topic); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
	if err := k.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTroubleOfKfake passes on what kfake logs.
func TestTroubleOfKfake(t *testing.T) {
	path := func(errno syscall.Errno) error { return &os.PathError{Op: "write", Path: "/data/0.dat", Err: errno} }
	for _, tc := range []struct {
		name, format string
		args         []any
		fails        bool
	}{
		{"a batch that could not be written", "persist batch %s-%d: %v", []any{"t", 0, path(syscall.EIO)}, true},
		{"an offset that could not be written", "persist group entry write: %v", []any{path(syscall.EIO)}, true},
		{"a journal that could not be written anew", "compact groups.log: write: %v", []any{path(syscall.EIO)}, true},
		{"topics that could not be written", "persist %s: %v", []any{"topics", path(syscall.ENOSPC)}, true},
		{"a batch for which there is no space", "persist batch %s-%d: %v", []any{"t", 0, path(syscall.ENOSPC)}, false},
		{"a batch for which the quota is used up", "persist batch %s-%d: %v", []any{"t", 0, path(syscall.EDQUOT)}, false},
		{"a file that could not be opened", "persist batch open %s-%d: %v", []any{"t", 0, path(syscall.EMFILE)}, false},
		{"something else", "consumerHeartbeatLate: group=%s", []any{"g"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDisk(t.TempDir(), nil, slog.New(slog.DiscardHandler))
			d.Logf(kfake.LogLevelWarn, tc.format, tc.args...)
			if err := d.sync(); (err != nil) != tc.fails {
				t.Errorf("it fails with %v, want a failure: %v", err, tc.fails)
			} else if tc.fails && !strings.Contains(err.Error(), "/data/0.dat") {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}
