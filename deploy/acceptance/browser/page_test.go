package browser

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// pageTimeout is how long one test may take on one page. It takes 2 s where the machine has nothing else to do.
const pageTimeout = time.Minute

var (
	site   *process.AllInOne
	chrome context.Context // a browser that runs
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if os.Getenv("TEST_BROWSER") != "1" {
		return m.Run(), nil // each test skips itself
	}
	dir, err := os.MkdirTemp("", "telltale-browser-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if site, err = process.StartAllInOne(context.Background(), dir); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()

	// In containers neither root nor anybody else can make the namespaces of the sandbox, and all pages are ours.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	browser, closeBrowser := chromedp.NewContext(allocator)
	defer closeBrowser()
	chrome = browser
	if err := chromedp.Do(chrome); err != nil {
		return 0, fmt.Errorf("start Chromium: %w", err)
	}
	return m.Run(), nil
}

func requireBrowser(t *testing.T) {
	t.Helper()
	if os.Getenv("TEST_BROWSER") != "1" {
		t.Skip("TEST_BROWSER is not 1")
	}
}

// page is a page of the site in a tab that shares nothing, not even a cache, with any other.
type page struct {
	t        *testing.T
	ctx      context.Context
	requests iter.Seq2[network.EventRequestWillBeSent, error]
	console  iter.Seq2[chromedp.ConsoleMessage, error]
}

// open opens a page of the site. In the end of the test the page must have written no warning or error to the
// console, but for those answers of the API that fail: Chromium lists them too.
func open(t *testing.T, path string) *page {
	t.Helper()
	requireBrowser(t)
	tab, closeTab := chromedp.NewContext(chrome, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(tab, pageTimeout)
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx, console: chromedp.Console(ctx)}
	p.requests = chromedp.Events(ctx, network.RequestWillBeSent)
	t.Cleanup(p.checkConsole)
	t.Cleanup(p.screenshot)
	p.do("open "+path, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(site.HTTP+path))
	return p
}

// do does what a user does, or waits for what he sees.
func (p *page) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// see returns what an action reads from p.
func see[T any](p *page, what string, action chromedp.Action[T]) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	return value
}

// nextRequest waits for the next request to the API, but for its description.
func (p *page) nextRequest() *network.Request {
	p.t.Helper()
	for sent, err := range p.requests {
		if err != nil {
			p.t.Fatalf("no request was made: %v", err)
		}
		path := strings.TrimPrefix(sent.Request.URL, site.HTTP)
		if strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/docs/") && !strings.HasSuffix(path, ".json") {
			return sent.Request
		}
	}
	p.t.Fatal("no request was made")
	return nil
}

func (p *page) checkConsole() {
	const last = "the test has ended"
	if err := chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("console.info(%q)", last))); err != nil {
		p.t.Error(err)
		return
	}
	for message, err := range p.console {
		switch {
		case err != nil:
			p.t.Error(err)
			return
		case message.Text == last:
			return
		case message.Source == "network" && strings.HasPrefix(message.URL, site.HTTP+"/api/") && !strings.HasPrefix(message.URL, site.HTTP+"/api/docs/"):
		case message.Type != chromedp.ConsoleInfo && message.Type != chromedp.ConsoleDebug && message.Type != chromedp.ConsoleLog:
			p.t.Errorf("on the console: %s (%s:%d)", message, message.URL, message.Line)
		}
	}
}

func (p *page) screenshot() {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	name := strings.NewReplacer("/", "_", " ", "_").Replace(p.t.Name()) + ".png"
	if err := errors.Join(err, os.WriteFile(filepath.Join(folder, name), picture, 0o644)); err != nil {
		p.t.Error(err)
	}
}

// get reads a path of the site without the browser.
func get(t *testing.T, path string) *http.Response {
	t.Helper()
	requireBrowser(t)
	response, err := http.Get(site.HTTP + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}
