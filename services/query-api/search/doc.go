// Package search finds the readings that a query in a small language describes. A query is parsed to a tree of Go values,
// which looks at readings one by one: no part of it ever becomes a text that a database reads.
//
//	temperature:25            the reading has a metric of this value, or an attribute of this text
//	room:lab  room:"living room"  room:lab*    an attribute of this text, where * stands for any text; capitals do not matter
//	door:true                 a metric of 1, as what devices send as true becomes, or an attribute of this text
//	temperature:>25  :>=25  :<5  :<=5          a metric: numbers are compared with metrics
//	firmware:>"1.2"           an attribute: texts are compared with attributes, in the order of their characters
//	temperature:20..25  :20..*  :*..25         both ends belong to it
//	temperature:!=25          it has one called so, of another value
//	temperature:*             it has one called so
//	device_id:42  device_key:meter*            the device, by its id or its key
//	lab  "living room"        some attribute, or the key of the device, contains this text
//	*                         any reading
//	a b  a AND b  a OR b  NOT a  -a  ( … )     NOT binds most, OR least; AND, OR and NOT also in small letters
//
// Names and texts with white space, with a colon, a quote or parentheses in them, and the words AND, OR and NOT
// themselves stand in quotes, in which a backslash takes the next character as it is. Quotes also take away what a number, * and .. mean:
// serial:"0012" is a text. A query is not for times: timestamp: is refused, and "timestamp": is for a member called so.
//
// What cannot be parsed is a *SyntaxError, which says where, and what was expected there.
//
// # What is in memory
//
// A query has at most MaxQuery bytes, MaxTerms terms and MaxDepth levels; a page at most Search.Limit readings
// and iot.MaxPageBytes. Beside these there is one reading at a time.
package search
