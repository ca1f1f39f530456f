package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// groupVariable names the consumer group that a floor commits for.
const groupVariable = "BENCH_GROUP"

// consume hands all records of the topic to store, at most n at a time, and commits behind them.
func consume(ctx context.Context, ready func(), n int, store func([]*kgo.Record) error) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...), kgo.ConsumeTopics(os.Getenv("KAFKA_TOPIC")),
		kgo.ConsumerGroup(os.Getenv(groupVariable)), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ready()
	for {
		fetches := client.PollRecords(ctx, n)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		records := fetches.Records()
		if len(records) == 0 {
			continue
		}
		if err := store(records); err != nil {
			return err
		}
		if err := client.CommitRecords(ctx, records...); err != nil {
			return err
		}
	}
}

// kafkaToMongo inserts a ready document for each record, with InsertMany.
func kafkaToMongo(ctx context.Context, ready func()) error {
	collection, disconnect, err := mongoCollection("ready")
	if err != nil {
		return err
	}
	defer disconnect()
	for _, keys := range []bson.D{{{Key: "device_id", Value: 1}, {Key: "timestamp", Value: 1}}, {{Key: "timestamp", Value: -1}, {Key: "device_id", Value: -1}}} {
		if _, err := collection.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys}); err != nil {
			return err
		}
	}
	stored := 0
	now := time.Now().UnixMilli()
	none := bsoncore.NewDocumentBuilder().Build()
	return consume(ctx, ready, 1000, func(records []*kgo.Record) error {
		documents := make([]any, len(records))
		for i := range records {
			documents[i] = bson.Raw(bsoncore.NewDocumentBuilder().
				AppendInt64("device_id", int64(stored%devices)).AppendDateTime("timestamp", now+int64(stored/devices)).
				AppendDouble("temperature", 21.5).AppendDouble("humidity", 40.25).
				AppendDocument("metrics", none).AppendDocument("attributes", none).
				AppendString("timestamp_source", "device").AppendDateTime("received_at", now).Build())
			stored++
		}
		_, err := collection.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
		return err
	})
}

func mongoCollection(name string) (c *mongo.Collection, disconnect func(), err error) {
	uri := os.Getenv("MONGODB_URI")
	u, err := connstring.Parse(uri)
	if err != nil {
		return nil, nil, err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, nil, err
	}
	return client.Database(u.Database).Collection(name), func() { _ = client.Disconnect(context.Background()) }, nil
}

// kafkaToRedis sets a ready value for each device of a batch, in one round trip.
func kafkaToRedis(ctx context.Context, ready func()) error {
	client, err := redisClient()
	if err != nil {
		return err
	}
	defer client.Close()
	const value = `{"device_id":4000000000,"temperature":21.5,"humidity":40.25,"timestamp":"2026-01-02T03:04:05.678Z","metrics":{},"attributes":{}}`
	return consume(ctx, ready, 10_000, func(records []*kgo.Record) error {
		newest := map[string]bool{}
		for _, r := range records {
			newest[string(r.Key)] = true
		}
		var sets rueidis.Commands
		for key := range newest {
			sets = append(sets, client.B().Set().Key("bench:latest:"+key).Value(value).ExSeconds(60).Build())
		}
		for _, answer := range client.DoMulti(ctx, sets...) {
			if err := answer.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

func redisClient() (rueidis.Client, error) {
	option, err := rueidis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		return nil, err
	}
	option.DisableCache = true
	return rueidis.NewClient(option)
}

func latestKey(id int64) string { return "latest:device" + strconv.FormatInt(id, 10) }
