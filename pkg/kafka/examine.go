package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/doctor"
)

// maxExamined is how many brokers are connected to.
const maxExamined = 50

// Examine looks at the brokers of cfg and its topics, and makes none of them.
func Examine(cfg Config) doctor.Check {
	return doctor.Check{Part: "KAFKA_BROKERS", Look: func(ctx context.Context) []doctor.Finding {
		bootstrap := strings.Join(cfg.Brokers, ",")
		client, err := NewClient(cfg)
		if err != nil {
			return doctor.Fail(err.Error(), "look at the settings of Kafka")
		}
		defer func() { _ = client.Close() }()
		defer context.AfterFunc(ctx, client.Disconnect)()
		err = client.RefreshMetadata(cfg.Topic)
		if refusal := sarama.KError(0); err != nil && !errors.As(err, &refusal) {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return doctor.Fail(bootstrap+": "+err.Error(), doctor.Advice(err, "KAFKA_BROKERS"))
		}
		findings := examineBrokers(client, bootstrap)
		for _, topic := range append([]string{cfg.Topic, cfg.DeadLetterTopic()}, cfg.Internal()...) {
			findings = append(findings, examineTopic(client, cfg, topic)...)
		}
		return findings
	}}
}

// examineBrokers connects to each broker at the address by which Kafka names it, which clients use after the first request.
func examineBrokers(client *Client, bootstrap string) (findings []doctor.Finding) {
	brokers := client.Brokers()
	brokers = brokers[:min(len(brokers), maxExamined)]
	for _, b := range brokers {
		_ = b.Open(client.Config()) // an error is Connected's
	}
	for _, b := range brokers {
		if ok, err := b.Connected(); !ok {
			if err == nil {
				err = sarama.ErrNotConnected
			}
			findings = append(findings, doctor.Fail(fmt.Sprintf("broker %d at %s, as Kafka names it: %v", b.ID(), b.Addr(), err),
				"set advertised.listeners of that broker to an address that can be reached from here")...)
		}
	}
	if findings == nil {
		return doctor.Fine("%s answers; brokers that can be reached: %d", bootstrap, len(brokers))
	}
	return findings
}

func examineTopic(client *Client, cfg Config, topic string) []doctor.Finding {
	err := client.RefreshMetadata(topic)
	var partitions []int32
	if err == nil || errors.Is(err, sarama.ErrLeaderNotAvailable) {
		partitions, err = client.Partitions(topic)
	}
	switch {
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		return doctor.Fine("topic %s is not there, and is made at the start", topic)
	case err != nil:
		return doctor.Fail(fmt.Sprintf("topic %s: %v", topic, err), "let the user of KAFKA_USERNAME describe, read and write it")
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	var has map[string]string
	if err == nil {
		has, err = topicSettings(admin, topic, timestampType, messageBytes, retentionMillis, cleanupPolicy, minInSync)
	}
	findings := examinePartitions(client, cfg, topic, partitions, has[minInSync])
	if err != nil {
		return append(findings, doctor.Warn(fmt.Sprintf("settings of topic %s are not shown: %v", topic, err),
			"let the user of KAFKA_USERNAME describe its configs, or look at them by hand")...)
	}
	for _, w := range wrongSettings(cfg, topic, has) {
		w.What = "topic " + topic + " has " + w.What
		findings = append(findings, w)
	}
	if findings == nil {
		return doctor.Fine("topic %s: partitions: %d, settings as they should be", topic, len(partitions))
	}
	return findings
}

// examinePartitions looks at partitions, of which inSync replicas have to answer for a record.
func examinePartitions(client *Client, cfg Config, topic string, partitions []int32, inSync string) (findings []doctor.Finding) {
	if wanted := cfg.partitions(topic); len(partitions) < int(wanted) {
		findings = append(findings, doctor.Warn(fmt.Sprintf("topic %s has %d partitions, and KAFKA_PARTITIONS says %d", topic, len(partitions), wanted),
			"add partitions where more replicas of a service are to share them, or lower KAFKA_PARTITIONS")...)
	}
	least, _ := strconv.Atoi(inSync) // 0 where Kafka does not show it
	var leaderless, readOnly, behind []int32
	for _, p := range partitions {
		if _, err := client.Leader(topic, p); err != nil {
			leaderless = append(leaderless, p)
			continue
		}
		replicas, err := client.Replicas(topic, p)
		current, err2 := client.InSyncReplicas(topic, p)
		switch {
		case errors.Join(err, err2) != nil:
		case len(current) < least:
			readOnly = append(readOnly, p)
		case len(current) < len(replicas):
			behind = append(behind, p)
		}
	}
	if leaderless != nil {
		findings = append(findings, doctor.Fail(fmt.Sprintf("topic %s has partitions without a leader: %v", topic, leaderless), "start the brokers that have them")...)
	}
	if readOnly != nil {
		findings = append(findings, doctor.Fail(fmt.Sprintf("topic %s has partitions that take no records, with fewer replicas in sync than %s=%d: %v",
			topic, minInSync, least, readOnly), "start the brokers that have the others, or lower "+minInSync)...)
	}
	if behind != nil {
		findings = append(findings, doctor.Warn(fmt.Sprintf("topic %s has partitions with replicas that are behind: %v", topic, behind), "look at the brokers that have them")...)
	}
	return findings
}

// wrongSettings says which settings of a topic are not as Telltale makes it. What a setting is that Kafka does not show, nobody knows.
func wrongSettings(cfg Config, topic string, has map[string]string) (wrong []doctor.Finding) {
	set := func(level doctor.Level, name, to, why string) {
		wrong = append(wrong, doctor.Finding{Level: level, What: name + "=" + has[name] + ": " + why, Do: "set it to " + to})
	}
	if v := has[timestampType]; v != "" && v != appendTime {
		set(doctor.Warned, timestampType, appendTime, "devices look offline, or online, where the clock of a producer is wrong")
	}
	compacts, should := strings.Contains(has[cleanupPolicy], "compact"), slices.Contains(cfg.Internal(), topic)
	if n, err := strconv.Atoi(has[messageBytes]); err == nil && n < maxMessageBytes && !should { // whose records are short
		set(doctor.Warned, messageBytes, strconv.Itoa(maxMessageBytes), "longer messages are cut, and become dead letters")
	}
	switch {
	case topic == cfg.CredentialsTopic() && has[cleanupPolicy] != "" && has[cleanupPolicy] != "compact":
		set(doctor.Failed, cleanupPolicy, "compact", "devices do not get in once their credentials are too old to be kept")
	case should && has[cleanupPolicy] != "" && !compacts:
		set(doctor.Warned, cleanupPolicy, "compact,delete", "it grows with every repetition")
	case compacts && !should:
		set(doctor.Failed, cleanupPolicy, "delete", "of each device all readings but the newest are removed")
	}
	keeps, err := strconv.ParseInt(has[retentionMillis], 10, 64)
	if topic == cfg.CredentialsTopic() {
		return wrong // what is compacted and nothing else does not go by its age
	}
	if err == nil && keeps >= 0 && keeps < cfg.retention(topic).Milliseconds() {
		set(doctor.Warned, retentionMillis, strconv.FormatInt(cfg.retention(topic).Milliseconds(), 10),
			fmt.Sprintf("what a service has not read for %v is lost, and KAFKA_RETENTION says %v", time.Duration(keeps)*time.Millisecond, cfg.retention(topic)))
	}
	return wrong
}
