package embedded

import (
	"encoding/binary"
	"os"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const apiVersionsKey = 18

// immediate are the responses that go out at once: they say nothing of what is in the log.
var immediate = map[int16]bool{
	int16(kmsg.ApiVersions): true, int16(kmsg.Metadata): true, int16(kmsg.FindCoordinator): true, int16(kmsg.DescribeCluster): true,
	int16(kmsg.JoinGroup): true, int16(kmsg.SyncGroup): true, int16(kmsg.Heartbeat): true, int16(kmsg.LeaveGroup): true,
}

// awaitSync returns when everything that kfake's response is about is on the disk, and corrects the response.
func (p *port) awaitSync(request kmsg.Request, frame []byte) ([]byte, error) {
	if p.disk.dir == "" {
		return frame, nil
	}
	if err := p.disk.sync(); err != nil {
		return nil, err
	}
	var correct func(kmsg.Response) (changed bool, err error)
	switch r := request.(type) {
	case *kmsg.ProduceRequest:
		correct = func(response kmsg.Response) (bool, error) { return p.acknowledge(r, response.(*kmsg.ProduceResponse)) }
	case *kmsg.FetchRequest:
		correct = func(response kmsg.Response) (bool, error) {
			return p.checkRecords(r, response.(*kmsg.FetchResponse)), nil
		}
	default:
		return frame, nil
	}
	response, correlation, err := decode(request, frame)
	if err != nil {
		return nil, err
	}
	changed, err := correct(response)
	if err != nil || !changed {
		return frame, err
	}
	return encode(response, correlation), nil
}

// acknowledge looks up each batch that is acknowledged: it has to be on the disk. kfake counts a batch before
// it writes it; when it then could not, it calls the next attempt a duplicate.
func (p *port) acknowledge(request *kmsg.ProduceRequest, response *kmsg.ProduceResponse) (changed bool, err error) {
	sums := map[partition]uint32{}
	for _, t := range request.Topics {
		for _, s := range t.Partitions {
			if len(s.Records) >= batchHeaderBytes {
				sums[partition{t.Topic, s.Partition}] = binary.BigEndian.Uint32(s.Records[17:])
			}
		}
	}
	for i := range response.Topics {
		t := &response.Topics[i]
		for j := range t.Partitions {
			s := &t.Partitions[j]
			if s.ErrorCode != 0 {
				continue
			}
			id := partition{t.Topic, s.Partition}
			stored, err := p.disk.holds(id, s.BaseOffset, sums[id])
			if err != nil {
				return false, err
			}
			if !stored {
				p.log.Warn("not acknowledging a batch that is not in the kafka log", "topic", t.Topic, "partition", s.Partition, "offset", s.BaseOffset)
				s.ErrorCode, s.BaseOffset, changed = kerr.UnknownServerError.Code, -1, true
			}
		}
	}
	return changed, nil
}

// checkRecords has nothing served that is not as it was written.
func (p *port) checkRecords(request *kmsg.FetchRequest, response *kmsg.FetchResponse) (changed bool) {
	offsets := map[partition]int64{}
	for _, t := range request.Topics {
		for _, s := range t.Partitions {
			offsets[partition{t.Topic, s.Partition}] = s.FetchOffset
		}
	}
	for i := range response.Topics {
		t := &response.Topics[i]
		for j := range t.Partitions {
			s := &t.Partitions[j]
			id := partition{t.Topic, s.Partition}
			offset, known := offsets[id]
			if !known { // of an earlier request of the session
				offset = -1
			}
			whole, next := wholeBatches(s.RecordBatches, offset, id.dir(p.disk.dir))
			if whole == len(s.RecordBatches) {
				continue
			}
			p.disk.damaged(id, next)
			changed = true
			if s.RecordBatches = s.RecordBatches[:whole]; whole == 0 {
				s.ErrorCode = kerr.KafkaStorageError.Code
			}
		}
	}
	return changed
}

// wholeBatches returns how many of the bytes, from the first on, are batches as they were written, and the offset
// behind them. The first has the record of offset, if that is known; the others follow each other, or begin a
// segment in dir.
func wholeBatches(records []byte, offset int64, dir string) (bytes int, next int64) {
	for next = offset; len(records)-bytes >= batchHeaderBytes; {
		rest := records[bytes:]
		b, err := parseHeader(rest)
		if err != nil || b.bytes > int64(len(rest)) || checksum(rest[:b.bytes]) != b.crc {
			break
		}
		follows := next < 0 || b.base == next || bytes == 0 && b.base < next && next < b.next
		if !follows {
			if _, err := os.Stat(segmentPath(dir, b.base)); err != nil {
				break
			}
		}
		bytes, next = bytes+int(b.bytes), b.next
	}
	return bytes, next
}
