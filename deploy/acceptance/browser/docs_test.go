package browser

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// operation is one of the API's description.
type operation struct {
	method, path, tag, name string
}

// operationsWithID reads from the description what has an {id} in its path.
func operationsWithID(t *testing.T) (found []operation) {
	t.Helper()
	var description struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.NewDecoder(get(t, "/api/openapi.json").Body).Decode(&description); err != nil {
		t.Fatal(err)
	}
	for path, item := range description.Paths {
		if !strings.Contains(path, "{id}") {
			continue
		}
		for method, text := range item {
			var o struct {
				Tags        []string
				OperationID string
			}
			if err := json.Unmarshal(text, &o); err == nil && o.OperationID != "" { // else it is no operation
				found = append(found, operation{strings.ToUpper(method), path, o.Tags[0], o.OperationID})
			}
		}
	}
	if len(found) < 14 {
		t.Fatalf("operations with an id: %v", found)
	}
	return found
}

// TestDocs: whichever operation is the first that somebody opens on the page, its field for the id has its name,
// and the id that is put there is the one that is asked for.
func TestDocs(t *testing.T) {
	for _, o := range operationsWithID(t) {
		t.Run(o.name, func(t *testing.T) {
			id := "424242"
			if strings.HasPrefix(o.path, "/api/dead-letters/") {
				id = "00000000000000000000000000424242"
			}
			p := open(t, "/api/docs/")
			block := fmt.Sprintf("#operations-%s-%s ", strings.ReplaceAll(o.tag, " ", "_"), o.name)
			p.do("open the operation", chromedp.Click(chromedp.CSS(block+".opblock-summary-control"), chromedp.NodeVisible))
			field := block + `tr[data-param-name="id"] input`
			p.do("find the field of the id", chromedp.WaitVisible(chromedp.CSS(field)))
			if value := see(p, "read the field", chromedp.Value(chromedp.CSS(field))); value != "" {
				t.Errorf("the id is %q before anybody has chosen one", value)
			}
			p.do("fill in the id", chromedp.SendKeys(chromedp.CSS(field), id))
			path := strings.Replace(o.path, "{id}", id, 1)
			if of := strings.Replace(path, "{cid}", "7", 1); of != path { // a credential of the device
				path = of
				p.do("fill in the credential", chromedp.SendKeys(chromedp.CSS(block+`tr[data-param-name="cid"] input`), "7"))
			}
			p.do("execute it", chromedp.Click(chromedp.CSS(block+".execute"), chromedp.NodeVisible))
			request := p.nextRequest()
			target, _, _ := strings.Cut(request.URL, "?") // the page sends the defaults of the others
			if want := site.HTTP + path; request.Method != o.method || target != want {
				t.Errorf("asked %s %s, want %s %s", request.Method, target, o.method, want)
			}
			p.do("see the answer", chromedp.WaitVisible(chromedp.CSS(block+".live-responses-table .response-col_status")))
		})
	}
}

// TestDocsOnAPhone: an operation that is open is not wider than the screen.
func TestDocsOnAPhone(t *testing.T) {
	const width = 390
	p := open(t, "/api/docs/")
	const block = "#operations-dead_letters-deleteDeadLetters "
	p.do("take a phone", chromedp.EmulateViewport(width, 844))
	p.do("open the operation", chromedp.Click(chromedp.CSS(block+".opblock-summary-control"), chromedp.NodeVisible))
	p.do("see its answers", chromedp.WaitVisible(chromedp.CSS(block+".responses-table")))
	if got := see(p, "measure", chromedp.Evaluate[int]("document.documentElement.scrollWidth")); got > width {
		t.Errorf("the page is %d pixels wide on a screen of %d", got, width)
	}
}
