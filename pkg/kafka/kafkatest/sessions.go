package kafkatest

import "github.com/IBM/sarama"

// EndSessions removes the members of a consumer group, as Kafka removes those that were killed some seconds later.
func EndSessions(brokers []string, group string) error {
	client, err := sarama.NewClient(brokers, SaramaConfig())
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	coordinator, err := client.Coordinator(group)
	if err != nil {
		return err
	}
	described, err := coordinator.DescribeGroups(&sarama.DescribeGroupsRequest{Groups: []string{group}})
	if err != nil {
		return err
	}
	for _, g := range described.Groups {
		for id := range g.Members {
			if _, err := coordinator.LeaveGroup(&sarama.LeaveGroupRequest{GroupId: group, MemberId: id}); err != nil {
				return err
			}
		}
	}
	return nil
}
