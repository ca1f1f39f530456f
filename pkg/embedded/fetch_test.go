package embedded

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestAnAnswerWithRecordsIsBounded(t *testing.T) {
	k := open(t, KafkaConfig{Dir: t.TempDir()})
	c := newClient(t, k.Addr(), 1)
	for range 4 {
		c.send(t, 700, 1000, time.Now())
	}
	const all, largestBatch = 4 * 700 * 1000, 900 << 10
	for name, tc := range map[string]struct {
		client      *kgo.Client
		least, most int // how many bytes there are of whole batches, whose sizes are the producer's
	}{"from outside": {raw(t, k), 1, maxFetch + largestBatch}, "from inside": {inside(t, k), all, 1 << 30}} {
		r := fetchRequest(c.cfg.Topic, 0)
		r.MaxBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 1<<30, 1<<30
		response, err := r.RequestWith(t.Context(), tc.client)
		if err != nil {
			t.Fatal(err)
		}
		n := len(response.Topics[0].Partitions[0].RecordBatches)
		if n < tc.least || n > tc.most {
			t.Errorf("%s: %d bytes, want %d to %d", name, n, tc.least, tc.most)
		}
	}
}

// fetchFrame asks for all that there is of the topic, and to wait for a day where there is nothing.
func fetchFrame(offset int64) []byte {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MinBytes, r.MaxWaitMillis, r.MaxBytes = 4, 1, 86_400_000, 1<<31-1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<31-1
	r.Topics = []kmsg.FetchRequestTopic{{Topic: logTopic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return header{correlation: 7, request: r}.encode()
}

func TestAnswersWithRecordsAreBounded(t *testing.T) {
	k := reader(t, t.TempDir())
	busy := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); len(k.port.fetches) != n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d fetches are being served, not %d", len(k.port.fetches), n)
			}
		}
	}
	var waiting []net.Conn
	for range maxFetches + 4 { // each waits for a record that does not come
		c := dialTCP(t, k)
		if _, err := c.Write(fetchFrame(1)); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, c)
	}
	busy(maxFetches)
	if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
		t.Errorf("the services beside them: %v", err)
	}
	for _, c := range waiting { // now it has come, for those that had to wait too
		var size [frameSizeBytes]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			t.Fatal(err)
		}
	}
	busy(0)
	for _, c := range waiting {
		_, _ = c.Write(fetchFrame(2))
	}
	busy(maxFetches)
	for _, c := range waiting {
		_ = c.Close()
	}
	busy(0)
}
