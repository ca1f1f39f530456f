package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// maxMergeBytes is how long a command that merges gets, and by two documents longer. A merged one is not much longer
// than iot.MaxContentBytes, so that the server's limit of 16 MiB is not reached.
const maxMergeBytes = 4 << 20

// moment is readings of the batch that have one key and no origin. They are inserted together, or merged into a
// document together.
type moment struct {
	readings []insertion   // in the order of the batch
	document bson.Raw      // what is stored there; nil where they are inserted
	outcomes []iot.Outcome // of readings, where what merge returned is stored
}

// merge returns what is to be stored of m, and whether it is not stored as it is.
func (m *moment) merge() (merged iot.Reading, changed bool) {
	m.outcomes = make([]iot.Outcome, len(m.readings))
	if m.document != nil {
		merged, _ = readDocument(m.document)
	}
	for i, p := range m.readings {
		if i == 0 && m.document == nil {
			merged, m.outcomes[i], changed = *p.Reading, iot.OutcomeNew, true
			continue
		}
		merged, m.outcomes[i] = merged.Merge(*p.Reading)
		switch {
		case m.outcomes[i] == iot.OutcomeMerged:
			changed = true
		case m.outcomes[i] == iot.OutcomeDuplicate && p.sent:
			m.outcomes[i] = iot.OutcomeMerged
		}
	}
	return merged, changed
}

// count counts m in result, where it is done with.
func (m *moment) count(result *iot.Inserted) {
	for i, p := range m.readings {
		result.Count(m.outcomes[i], p.index)
	}
}

// merge merges the first n of moments, as many as one command takes, into their documents, if these are as they were
// read. The server says of how many that is so, not of which: where it is not so of all, they come again.
func (s *Store) merge(ctx context.Context, moments []*moment, result *iot.Inserted) (n int, again []insertion, err error) {
	document, dst, err := appendCommand(nil, "update", false)
	if err != nil {
		return 0, nil, err
	}
	updates, dst := bsoncore.AppendArrayElementStart(dst, "updates")
	var sent []*moment
	for n = 0; n < len(moments) && len(dst) < maxMergeBytes; n++ {
		m := moments[n]
		merged, changed := m.merge()
		if !changed {
			m.count(result)
			continue
		}
		if dst, err = appendMerge(appendIndex(dst, len(sent)), m.document, &merged); err != nil {
			return 0, nil, err
		}
		sent = append(sent, m)
	}
	if len(sent) == 0 {
		return n, nil, nil
	}
	if dst, err = bsoncore.AppendArrayEnd(dst, updates); err != nil {
		return 0, nil, err
	}
	if dst, err = bsoncore.AppendDocumentEnd(dst, document); err != nil {
		return 0, nil, err
	}
	answer, err := s.send(ctx, dst)
	if err != nil {
		return 0, nil, err
	}
	matched, _ := answer.Lookup("n").AsInt64OK()
	for _, m := range sent {
		if matched == int64(len(sent)) {
			m.count(result)
			continue
		}
		for i, p := range m.readings {
			p.sent = p.sent || m.outcomes[i] == iot.OutcomeMerged
			again = append(again, p)
		}
	}
	return n, again, nil
}

// appendMerge appends a statement of an update that gives document the content of merged. All members stand in its
// filter as they were read: where another writer has added one, it does nothing.
func appendMerge(dst []byte, document bson.Raw, merged *iot.Reading) ([]byte, error) {
	builder := bsoncore.NewDocumentBuilder()
	for _, field := range [...]string{fieldDevice, fieldAt, fieldTemperature, fieldHumidity, fieldMetrics, fieldAttributes} {
		value := bsoncore.Value{Type: bsoncore.TypeNull} // matches no field too
		if there := document.Lookup(field); !there.IsZero() {
			value = bsoncore.Value{Type: bsoncore.Type(there.Type), Data: there.Value}
		}
		// Without $eq, a name in it that begins with a dollar sign would be an operator.
		builder.AppendDocument(field, bsoncore.NewDocumentBuilder().AppendValue("$eq", value).Build())
	}
	statement, dst := bsoncore.AppendDocumentStart(dst)
	dst = bsoncore.AppendDocumentElement(dst, "q", builder.Build())
	update, dst := bsoncore.AppendDocumentElementStart(dst, "u")
	set, dst := bsoncore.AppendDocumentElementStart(dst, "$set")
	if merged.Key != "" {
		dst = bsoncore.AppendStringElement(dst, fieldKey, merged.Key)
	}
	dst, err := appendContent(dst, merged)
	for _, start := range [...]int32{set, update, statement} {
		if err == nil {
			dst, err = bsoncore.AppendDocumentEnd(dst, start)
		}
	}
	return dst, err
}
