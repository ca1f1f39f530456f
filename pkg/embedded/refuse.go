package embedded

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuse is the answer to a request that gives the error for everything that it asks. Kafka's answers repeat their
// requests: for each topic, partition, resource and group that is asked for, they have its name beside an error.
func refuse(request kmsg.Request, why *kerr.Error) kmsg.Response {
	answer := request.ResponseKind()
	switch a := answer.(type) { // to these two requests, which may have names where others have structs
	case *kmsg.DeleteTopicsResponse:
		for _, name := range request.(*kmsg.DeleteTopicsRequest).TopicNames {
			a.Topics = append(a.Topics, kmsg.DeleteTopicsResponseTopic{Topic: &name, ErrorCode: why.Code})
		}
	case *kmsg.DeleteGroupsResponse:
		for _, name := range request.(*kmsg.DeleteGroupsRequest).Groups {
			a.Groups = append(a.Groups, kmsg.DeleteGroupsResponseGroup{Group: name, ErrorCode: why.Code})
		}
	}
	repeatRequest(reflect.ValueOf(answer).Elem(), reflect.ValueOf(request).Elem(), int64(why.Code))
	return answer
}

// repeatRequest sets the error code of an answer, or of a struct within it, and what the request has under the
// same name and of the same kind.
func repeatRequest(answer, request reflect.Value, code int64) {
	for i := range answer.NumField() {
		field, name := answer.Field(i), answer.Type().Field(i).Name
		asked := request.FieldByName(name)
		switch {
		case name == "ErrorCode":
			field.SetInt(code)
		case !asked.IsValid() || name == "UnknownTags":
		case asked.Type() == field.Type():
			field.Set(asked)
		case isStructs(asked.Type()) && isStructs(field.Type()):
			for j := range asked.Len() {
				told := reflect.New(field.Type().Elem())
				told.Interface().(interface{ Default() }).Default()
				repeatRequest(told.Elem(), asked.Index(j), code)
				field.Set(reflect.Append(field, told.Elem()))
			}
		}
	}
}

func isStructs(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}
