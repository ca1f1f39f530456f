// Package browser looks at the pages of all-in-one with Chromium, as people do: what they click, what is asked of
// the API then, what is shown, and what the browser complains of. Its tests need Chromium and TEST_BROWSER=1
// (make browser). With SCREENSHOTS, the absolute path of a folder, each test leaves there how the page looked in the end.
package browser
