package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"go.uber.org/goleak"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// TestMain runs a broker instead of the tests when it gets a directory: a process to be killed.
func TestMain(m *testing.M) {
	dir, addr := os.Getenv("BROKER_DIR"), os.Getenv("BROKER_ADDR")
	if dir == "" {
		goleak.VerifyTestMain(m)
	}
	if _, err := StartKafka(KafkaConfig{Dir: dir, Addr: addr, Writes: true, MaxBytes: 64 << 20}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends, however it does
}

// spawn starts such a process, and waits until it listens.
func spawn(t testing.TB, dir, addr string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BROKER_DIR="+dir, "BROKER_ADDR="+addr)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "listening\n" {
		t.Fatalf("the broker says %q, %v", line, err)
	}
	return cmd
}

func kill(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says that it was killed
}

func freeAddr(t testing.TB) string {
	t.Helper()
	addrs, err := proxytest.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}

// TestKill kills the broker, again and again, while records flow through it.
func TestKill(t *testing.T) {
	t.Parallel()
	const kills = 12
	dir, addr := t.TempDir(), freeAddr(t)
	broker := spawn(t, dir, addr)
	c := newClient(t, addr, 3)

	p := producer.New(c.cfg, testLog(t), nil)
	var mu sync.Mutex
	acked := map[int]bool{}              // by number
	handled := map[int]bool{}            // by number
	marks := map[int32]int64{}           // by partition: the offset behind the last that was handled
	committedBefore := map[int32]int64{} // by partition, as the broker returned it before it was killed
	consumer := kafka.NewConsumer(kafka.GroupConfig{Config: c.cfg, Group: "g", MaxBatch: 100, MaxWait: 10 * time.Millisecond},
		func(_ context.Context, batch []kafka.Record) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range batch {
				n, err := strconv.Atoi(string(r.Value))
				if err != nil {
					t.Errorf("record %q", r.Value)
				}
				handled[n] = true
				marks[r.Partition] = max(marks[r.Partition], r.Offset+1)
			}
			return nil
		}, testLog(t), nil)

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	running.Go(func() { _ = consumer.Run(ctx) })

	produced := 0
	var left sync.WaitGroup
	flow := func(during time.Duration) {
		for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Millisecond) {
			for range 5 {
				n := produced
				produced++
				left.Add(1)
				p.Produce(kafka.Record{Topic: c.cfg.Topic, Key: fmt.Append(nil, n%50), Value: fmt.Append(nil, n)}, func(err error) {
					defer left.Done()
					if err != nil {
						t.Errorf("record %d: %v", n, err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					acked[n] = true
				})
			}
		}
	}
	for range kills {
		flow(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		for id, offset := range committed(t, addr, c.cfg.Topic) {
			committedBefore[id] = max(committedBefore[id], offset)
		}
		kill(t, broker)
		broker = spawn(t, dir, addr)
		for id, offset := range committed(t, addr, c.cfg.Topic) {
			mu.Lock()
			if offset < committedBefore[id] || offset > marks[id] {
				t.Errorf("partition %d: offset %d is committed after the kill; %d was before, and %d is handled",
					id, offset, committedBefore[id], marks[id])
			}
			mu.Unlock()
		}
	}
	left.Wait()
	deadline := time.Now().Add(time.Minute)
	for {
		mu.Lock()
		missing := 0
		for n := range acked {
			if !handled[n] {
				missing++
			}
		}
		mu.Unlock()
		if missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d acknowledged records are not handled", missing, len(acked))
		}
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	running.Wait()
	kill(t, broker)
	if len(acked) != produced {
		t.Errorf("%d records are acknowledged of %d", len(acked), produced)
	}
	// What the consumer saw, a fresh reader finds in the log.
	k := open(t, KafkaConfig{Dir: dir, Addr: addr})
	if n := records(k, c.cfg.Topic); n < int64(produced) {
		t.Errorf("the log has %d records, want %d at least", n, produced)
	} else {
		t.Logf("%d kills, %d records acknowledged, %d in the log", kills, len(acked), n)
	}
}

// committed asks for the group's offsets.
func committed(t testing.TB, addr, topic string) map[int32]int64 {
	t.Helper()
	config := sarama.NewConfig()
	config.Version = sarama.V4_1_0_0
	admin, err := sarama.NewClusterAdmin([]string{addr}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	response, err := admin.ListConsumerGroupOffsets("g", nil)
	if err != nil {
		return nil // the group is not there yet
	}
	offsets := map[int32]int64{}
	for id, block := range response.Blocks[topic] {
		offsets[id] = block.Offset
	}
	return offsets
}

// TestTornTail writes what a kill in the middle of a write leaves behind.
func TestTornTail(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	tear := func(pattern string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files like %s: %v", pattern, err)
		}
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			half := content[:min(len(content)/2, 31)]
			f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(half); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	const rounds = 4
	for round := range rounds {
		broker := spawn(t, dir, addr)
		c := newClient(t, addr, 3)
		c.send(t, 100, 10, time.Now())
		c.consume(t, "g", 100) // neither one of an earlier round again, nor one missing
		var sum int64
		for _, offset := range committed(t, addr, c.cfg.Topic) {
			sum += offset
		}
		if want := int64(100 * (round + 1)); sum != want {
			t.Errorf("round %d: offsets of %d records are committed, want %d", round, sum, want)
		}
		kill(t, broker)
		for _, pattern := range []string{"groups.log", "pids.log", "partitions/readings-*/*.dat", "partitions/readings-*/*.idx"} {
			tear(pattern)
		}
	}
	k := open(t, KafkaConfig{Dir: dir, Addr: addr})
	if n := records(k, "readings"); n != 100*rounds {
		t.Errorf("%d records, want %d", n, 100*rounds)
	}
}

func TestReadJournal(t *testing.T) {
	dir := t.TempDir()
	k := open(t, KafkaConfig{Dir: dir})
	c := newClient(t, k.Addr(), 1)
	c.send(t, 1, 1, time.Now())
	c.consume(t, "g", 1)
	journal, err := os.ReadFile(filepath.Join(dir, "groups.log"))
	if err != nil || !strings.Contains(string(journal), "commit") {
		t.Fatalf("journal %q: %v", journal, err)
	}
	if whole, damaged, torn := readJournal(journal); len(whole) != len(journal) || damaged != 0 || torn != 0 {
		t.Errorf("%d of %d bytes are whole, %d are damaged, %d torn", len(whole), len(journal), damaged, torn)
	}
	previous := 0
	for n := range journal { // cut anywhere, only whole entries are left
		whole, damaged, torn := readJournal(journal[:n])
		if len(whole) > n || len(whole) < previous || damaged != 0 || torn != n-len(whole) {
			t.Errorf("of the first %d bytes %d are whole, of one less %d; %d are damaged, %d torn", n, len(whole), previous, damaged, torn)
		}
		previous = len(whole)
	}
}
