package embedded

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuse is the response to a request that gives the error for all that is in it. Kafka's responses repeat their
// requests: for each topic, partition, resource and group in the request they have its name beside an error.
func refuse(request kmsg.Request, why *kerr.Error) kmsg.Response {
	response := request.ResponseKind()
	switch a := response.(type) { // to these two requests, which may have names where others have structs
	case *kmsg.DeleteTopicsResponse:
		for _, name := range request.(*kmsg.DeleteTopicsRequest).TopicNames {
			a.Topics = append(a.Topics, kmsg.DeleteTopicsResponseTopic{Topic: &name, ErrorCode: why.Code})
		}
	case *kmsg.DeleteGroupsResponse:
		for _, name := range request.(*kmsg.DeleteGroupsRequest).Groups {
			a.Groups = append(a.Groups, kmsg.DeleteGroupsResponseGroup{Group: name, ErrorCode: why.Code})
		}
	}
	repeatRequest(reflect.ValueOf(response).Elem(), reflect.ValueOf(request).Elem(), int64(why.Code))
	return response
}

// repeatRequest sets the error code of a response, or of a struct within it, and what the request has under the
// same name and of the same kind.
func repeatRequest(response, request reflect.Value, code int64) {
	for i := range response.NumField() {
		field, name := response.Field(i), response.Type().Field(i).Name
		requested := request.FieldByName(name)
		switch {
		case name == "ErrorCode":
			field.SetInt(code)
		case !requested.IsValid() || name == "UnknownTags":
		case requested.Type() == field.Type():
			field.Set(requested)
		case isStructs(requested.Type()) && isStructs(field.Type()):
			for j := range requested.Len() {
				element := reflect.New(field.Type().Elem())
				element.Interface().(interface{ Default() }).Default()
				repeatRequest(element.Elem(), requested.Index(j), code)
				field.Set(reflect.Append(field, element.Elem()))
			}
		}
	}
}

func isStructs(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}
