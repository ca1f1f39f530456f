package embedded

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// versions are the requests that are offered, and the newest version of each.
var versions = func() *kversion.Versions {
	stable, v := kversion.Stable(), new(kversion.Versions)
	for _, key := range []kmsg.Key{
		kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.Metadata, kmsg.DescribeCluster, kmsg.DescribeConfigs,
		kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch,
		kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.ConsumerGroupHeartbeat,
		kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.OffsetDelete,
		kmsg.ListGroups, kmsg.DescribeGroups, kmsg.ConsumerGroupDescribe, kmsg.DeleteGroups,
		kmsg.InitProducerID, kmsg.Produce,
		kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions, kmsg.DeleteRecords, kmsg.IncrementalAlterConfigs,
	} {
		if newest, ok := stable.LookupMaxKeyVersion(int16(key)); ok {
			v.SetMaxKeyVersion(int16(key), newest)
		}
	}
	// From these versions on topics have ids instead of names, or a batch opens a transaction.
	v.SetMaxKeyVersion(int16(kmsg.Fetch), 12)
	v.SetMaxKeyVersion(int16(kmsg.Produce), 11)
	v.SetMaxKeyVersion(int16(kmsg.OffsetCommit), 9)
	v.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 9)
	v.SetMaxKeyVersion(int16(kmsg.DeleteTopics), 5)
	// kfake answers null where Java's client wants a list.
	v.SetMaxKeyVersion(int16(kmsg.CreateTopics), 4)
	return v
}()

// Bounds of what one request may make.
const (
	maxTopics     = 100
	maxPartitions = 100 // of a topic
	maxResources  = 100 // whose configuration is asked for
)

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// mayWrite are the requests that change more than a group, and the error of who may not do so.
var mayWrite = map[kmsg.Key]*kerr.Error{
	kmsg.Produce: kerr.TopicAuthorizationFailed, kmsg.CreateTopics: kerr.TopicAuthorizationFailed, kmsg.CreatePartitions: kerr.TopicAuthorizationFailed,
	kmsg.DeleteTopics: kerr.TopicAuthorizationFailed, kmsg.DeleteRecords: kerr.TopicAuthorizationFailed,
	kmsg.InitProducerID: kerr.ClusterAuthorizationFailed,
}

// check says what becomes of a request from outside, which has as many bytes, and which the client's account may send. Clients read,
// and commit what they read for groups that are not Telltale's; where writes are allowed they produce, and make and delete topics,
// too. A request that is refused has a response; changed is one that now asks for less.
func (p *port) check(request kmsg.Request, bytes int) (changed bool, refusal kmsg.Response) {
	if why := mayWrite[kmsg.Key(request.Key())]; why != nil {
		if !p.open {
			return false, refuse(request, why)
		}
		return false, checkWrite(request)
	}
	switch r := request.(type) {
	case *kmsg.FetchRequest:
		return limitFetch(r), nil
	case *kmsg.DescribeConfigsRequest:
		if len(r.Resources) > maxResources {
			return false, refuse(r, kerr.InvalidRequest)
		}
	case *kmsg.JoinGroupRequest, *kmsg.ConsumerGroupHeartbeatRequest:
		return false, p.checkGroup(r, bytes, true)
	case *kmsg.OffsetCommitRequest:
		return false, p.checkGroup(r, 0, true)
	case *kmsg.SyncGroupRequest:
		return false, p.checkGroup(r, bytes, false)
	case *kmsg.IncrementalAlterConfigsRequest:
		return false, refuse(r, kerr.TopicAuthorizationFailed)
	default:
		return false, p.checkGroup(r, 0, false)
	}
	return false, nil
}

// topicsOf are the topics that a request names; those whose offsets a group commits or asks for are none.
func topicsOf(request kmsg.Request) (topics []string) {
	switch r := request.(type) {
	case *kmsg.MetadataRequest:
		for _, t := range r.Topics {
			if t.Topic != nil {
				topics = append(topics, *t.Topic)
			}
		}
	case *kmsg.DescribeConfigsRequest:
		for _, resource := range r.Resources {
			if resource.ResourceType == kmsg.ConfigResourceTypeTopic {
				topics = append(topics, resource.ResourceName)
			}
		}
	case *kmsg.FetchRequest:
		for _, t := range r.Topics {
			topics = append(topics, t.Topic)
		}
	case *kmsg.ListOffsetsRequest:
		for _, t := range r.Topics {
			topics = append(topics, t.Topic)
		}
	case *kmsg.OffsetForLeaderEpochRequest:
		for _, t := range r.Topics {
			topics = append(topics, t.Topic)
		}
	case *kmsg.ProduceRequest:
		for _, t := range r.Topics {
			topics = append(topics, t.Topic)
		}
	case *kmsg.CreateTopicsRequest:
		for _, t := range r.Topics {
			topics = append(topics, t.Topic)
		}
	case *kmsg.CreatePartitionsRequest:
		for _, t := range r.Topics {
			topics = append(topics, t.Topic)
		}
	case *kmsg.DeleteRecordsRequest:
		for _, t := range r.Topics {
			topics = append(topics, t.Topic)
		}
	case *kmsg.DeleteTopicsRequest:
		topics = r.TopicNames
	}
	return topics
}

// groupsOf are the groups that a request joins or changes.
func groupsOf(request kmsg.Request) []string {
	switch r := request.(type) {
	case *kmsg.JoinGroupRequest:
		return []string{r.Group}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return []string{r.Group}
	case *kmsg.SyncGroupRequest:
		return []string{r.Group}
	case *kmsg.HeartbeatRequest:
		return []string{r.Group}
	case *kmsg.LeaveGroupRequest:
		return []string{r.Group}
	case *kmsg.OffsetCommitRequest:
		return []string{r.Group}
	case *kmsg.OffsetDeleteRequest:
		return []string{r.Group}
	case *kmsg.DeleteGroupsRequest:
		return r.Groups
	}
	return nil
}

// limitFetch bounds the response. It has no session, of which kfake keeps all partitions that were ever asked for,
// those that do not exist too; a client without one names them all each time.
func limitFetch(r *kmsg.FetchRequest) (changed bool) {
	if r.MaxBytes > maxFetch {
		r.MaxBytes, changed = maxFetch, true
	}
	if most := int32(maxFetchWait.Milliseconds()); r.MaxWaitMillis > most {
		r.MaxWaitMillis, changed = most, true
	}
	if r.Version >= 7 && (r.SessionID != 0 || r.SessionEpoch != -1) {
		r.SessionID, r.SessionEpoch, changed = 0, -1, true
	}
	return changed
}

// checkGroup refuses what is about Telltale's own groups, or makes a group beyond those that there may be.
func (p *port) checkGroup(r kmsg.Request, bytes int, makes bool) kmsg.Response {
	for _, name := range groupsOf(r) {
		if p.own[name] || bytes > maxJoinFrame || makes && !p.admitGroup(name) {
			return refuse(r, kerr.GroupAuthorizationFailed)
		}
	}
	return nil
}

// checkWrite refuses what kfake would take, and should not.
func checkWrite(request kmsg.Request) kmsg.Response {
	switch r := request.(type) {
	case *kmsg.InitProducerIDRequest:
		if r.TransactionalID != nil {
			return refuse(r, kerr.TransactionalIDAuthorizationFailed)
		}
	case *kmsg.ProduceRequest:
		const logAppendTime = 0x08 // kfake sets such a batch's time, which is then not what its checksum says
		for _, t := range r.Topics {
			for _, s := range t.Partitions {
				if len(s.Records) >= batchHeaderBytes && s.Records[22]&logAppendTime != 0 {
					return refuse(r, kerr.InvalidRecord)
				}
			}
		}
	case *kmsg.CreateTopicsRequest:
		if len(r.Topics) > maxTopics {
			return refuse(r, kerr.PolicyViolation)
		}
		for _, t := range r.Topics {
			if !topicName.MatchString(t.Topic) {
				return refuse(r, kerr.InvalidTopicException)
			}
			if t.NumPartitions > maxPartitions || len(t.ReplicaAssignment) > maxPartitions {
				return refuse(r, kerr.InvalidPartitions)
			}
		}
	case *kmsg.CreatePartitionsRequest:
		for _, t := range r.Topics {
			if t.Count > maxPartitions {
				return refuse(r, kerr.InvalidPartitions)
			}
		}
	}
	return nil
}
