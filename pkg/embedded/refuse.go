package embedded

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuse is the answer to a request that gives the error for everything that it asks.
func refuse(request kmsg.Request, why *kerr.Error) kmsg.Response {
	code := why.Code
	switch answer := request.ResponseKind().(type) {
	case *kmsg.JoinGroupResponse:
		answer.ErrorCode = code
		return answer
	case *kmsg.SyncGroupResponse:
		answer.ErrorCode = code
		return answer
	case *kmsg.HeartbeatResponse:
		answer.ErrorCode = code
		return answer
	case *kmsg.LeaveGroupResponse:
		answer.ErrorCode = code
		return answer
	case *kmsg.ConsumerGroupHeartbeatResponse:
		answer.ErrorCode = code
		return answer
	case *kmsg.OffsetDeleteResponse:
		answer.ErrorCode = code
		return answer
	case *kmsg.InitProducerIDResponse:
		answer.ErrorCode, answer.ProducerID, answer.ProducerEpoch = code, -1, -1
		return answer
	case *kmsg.OffsetCommitResponse:
		for _, asked := range request.(*kmsg.OffsetCommitRequest).Topics {
			t := kmsg.NewOffsetCommitResponseTopic()
			t.Topic = asked.Topic
			for _, s := range asked.Partitions {
				told := kmsg.NewOffsetCommitResponseTopicPartition()
				told.Partition, told.ErrorCode = s.Partition, code
				t.Partitions = append(t.Partitions, told)
			}
			answer.Topics = append(answer.Topics, t)
		}
		return answer
	case *kmsg.DeleteGroupsResponse:
		for _, name := range request.(*kmsg.DeleteGroupsRequest).Groups {
			g := kmsg.NewDeleteGroupsResponseGroup()
			g.Group, g.ErrorCode = name, code
			answer.Groups = append(answer.Groups, g)
		}
		return answer
	case *kmsg.DescribeConfigsResponse:
		for _, asked := range request.(*kmsg.DescribeConfigsRequest).Resources {
			told := kmsg.NewDescribeConfigsResponseResource()
			told.ResourceType, told.ResourceName, told.ErrorCode = asked.ResourceType, asked.ResourceName, code
			answer.Resources = append(answer.Resources, told)
		}
		return answer
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, asked := range request.(*kmsg.IncrementalAlterConfigsRequest).Resources {
			told := kmsg.NewIncrementalAlterConfigsResponseResource()
			told.ResourceType, told.ResourceName, told.ErrorCode = asked.ResourceType, asked.ResourceName, code
			answer.Resources = append(answer.Resources, told)
		}
		return answer
	case *kmsg.ProduceResponse:
		for _, asked := range request.(*kmsg.ProduceRequest).Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic = asked.Topic
			for _, s := range asked.Partitions {
				told := kmsg.NewProduceResponseTopicPartition()
				told.Partition, told.ErrorCode, told.BaseOffset = s.Partition, code, -1
				t.Partitions = append(t.Partitions, told)
			}
			answer.Topics = append(answer.Topics, t)
		}
		return answer
	case *kmsg.CreateTopicsResponse:
		for _, asked := range request.(*kmsg.CreateTopicsRequest).Topics {
			t := kmsg.NewCreateTopicsResponseTopic()
			t.Topic, t.ErrorCode = asked.Topic, code
			answer.Topics = append(answer.Topics, t)
		}
		return answer
	case *kmsg.CreatePartitionsResponse:
		for _, asked := range request.(*kmsg.CreatePartitionsRequest).Topics {
			t := kmsg.NewCreatePartitionsResponseTopic()
			t.Topic, t.ErrorCode = asked.Topic, code
			answer.Topics = append(answer.Topics, t)
		}
		return answer
	case *kmsg.DeleteTopicsResponse:
		asked := request.(*kmsg.DeleteTopicsRequest)
		for _, name := range asked.TopicNames {
			t := kmsg.NewDeleteTopicsResponseTopic()
			t.Topic, t.ErrorCode = kmsg.StringPtr(name), code
			answer.Topics = append(answer.Topics, t)
		}
		for _, topic := range asked.Topics {
			t := kmsg.NewDeleteTopicsResponseTopic()
			t.Topic, t.TopicID, t.ErrorCode = topic.Topic, topic.TopicID, code
			answer.Topics = append(answer.Topics, t)
		}
		return answer
	case *kmsg.DeleteRecordsResponse:
		for _, asked := range request.(*kmsg.DeleteRecordsRequest).Topics {
			t := kmsg.NewDeleteRecordsResponseTopic()
			t.Topic = asked.Topic
			for _, s := range asked.Partitions {
				told := kmsg.NewDeleteRecordsResponseTopicPartition()
				told.Partition, told.ErrorCode, told.LowWatermark = s.Partition, code, -1
				t.Partitions = append(t.Partitions, told)
			}
			answer.Topics = append(answer.Topics, t)
		}
		return answer
	default:
		return nil // what is not refused
	}
}
