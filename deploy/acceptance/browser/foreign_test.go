package browser

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// foreignPage puts pages of the site, whose URL is %[1]s, into frames, and sends it forms that would replay dead letters. It is titled
// "done" when the browser has an answer to each, or has refused to show it.
const foreignPage = `<!doctype html><title>waits</title>
<iframe src="%[1]s/api/docs/"></iframe><iframe src="%[1]s/"></iframe>
<iframe name="a"></iframe><iframe name="b"></iframe><iframe name="c"></iframe>
<form target="a" method="post" action="%[1]s/api/dead-letters/replay/?reason=invalid_json"><input name="payload" value="{}"></form>
<form target="b" method="post" action="%[1]s/api/dead-letters/replay/?reason=invalid_json" enctype="text/plain"><input name='{"a":"' value='"}'></form>
<form target="c" method="post" action="%[1]s/api/dead-letters/replay/?reason=invalid_json" enctype="multipart/form-data"></form>
<script>
addEventListener("load", () => { // the frames have loaded, or were refused
  let answers = 0;
  for (const form of document.forms) {
    document.querySelector("[name=" + form.target + "]").addEventListener("load", () => {
      if (++answers === document.forms.length) document.title = "done";
    });
    form.submit();
  }
});
</script>`

// TestForeignPage opens a page of another origin, which tries what a page may try. The browser shows none of the site's pages in it, so
// that nobody is led to click there, and nothing is replayed.
func TestForeignPage(t *testing.T) {
	requireBrowser(t)
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, foreignPage, site.HTTP)
	}))
	defer foreign.Close()
	_, port, err := net.SplitHostPort(foreign.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tab, closeTab := chromedp.NewContext(chrome, chromedp.WithNewBrowserContext())
	defer closeTab()
	ctx, cancel := context.WithTimeout(tab, pageTimeout)
	defer cancel()

	const assets, replays = `route="/api/docs/:asset/"`, `method="POST",route="/api/dead-letters/`
	before, replayed := requests(t, assets), requests(t, replays)
	if err := chromedp.Do(ctx, chromedp.Navigate(site.HTTP+"/api/docs/"), chromedp.WaitVisible(chromedp.CSS(".opblock"))); err != nil {
		t.Fatal(err)
	}
	shown := requests(t, assets)
	if shown == before {
		t.Fatal("the page itself asks for nothing: whether a frame shows it cannot be seen")
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("http://localhost:"+port+"/"), chromedp.WaitVisible(chromedp.CSS("iframe"))); err != nil {
		t.Fatal(err)
	}
	for title := ""; title != "done"; {
		if title, err = chromedp.Run(ctx, chromedp.Title()); err != nil {
			t.Fatalf("the title is %q: %v", title, err)
		}
	}
	if n := requests(t, assets); n != shown {
		t.Errorf("a frame on a foreign page asks for %d parts of the page", n-shown)
	}
	if n := requests(t, replays); n != replayed {
		t.Errorf("%d replays came in from a foreign page", n-replayed)
	}
}

// requests returns how many requests the API has answered whose labels are such.
func requests(t *testing.T, labels string) (n int) {
	t.Helper()
	answer, err := http.Get("http://" + site.OpsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^telltale_http_requests_total\{(.*)\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], labels) {
			count, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			n += count
		}
	}
	return n
}
