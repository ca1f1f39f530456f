package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shownSecrets are those that a site has shown to somebody, by what they are.
type shownSecrets map[string]string

// leaked says which of them stand in a text, also in base64, as a header of HTTP has a password.
func (s shownSecrets) leaked(text []byte) (what []string) {
	for name, secret := range s {
		// Within the base64 of more the first and last digits depend on what is around it.
		for shift := range 3 {
			coded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), secret...))
			if bytes.Contains(text, []byte(coded[4:len(coded)-4])) {
				what = append(what, name+" in base64")
			}
		}
		if bytes.Contains(text, []byte(secret)) {
			what = append(what, name)
		}
	}
	return what
}

// TestShownSecretsAreKeptNowhere has a site show every kind of secret there is, and sends each where it belongs and where it does not.
// Nothing has one afterwards: no file of DATA_DIR, which is what a backup is, no log, no metric, no audit, no list of who was refused,
// no dead letter.
func TestShownSecretsAreKeptNowhere(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mosquitto_pub"); err != nil {
		t.Skip("it takes mosquitto_pub: ", err)
	}
	s, dir := freeAddrs(t), t.TempDir()
	secrets := shownSecrets{"the deployment's token": strings.Repeat("0123456789abcdef", 4)[:60] + "zz", "a person's password": "correct horse battery staple"}
	s["AUTH"], s["LOG_LEVEL"], s["ADMIN_TOKEN"] = "on", "debug", secrets["the deployment's token"]
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	send := func(method, url, body string, headers ...string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, text
	}
	admin := []string{"Authorization", "Bearer " + secrets["the deployment's token"]}
	eventually(t, time.Minute, "the deployment's token counts", func() bool {
		answer, _ := send("GET", p.api+"/api/me/", "", admin...)
		return answer.StatusCode == http.StatusOK
	})
	// make has the site make something, and keeps the secret in the field of its answer.
	make := func(name, path, body, field string, headers ...string) {
		t.Helper()
		answer, text := send("POST", p.api+path, body, headers...)
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil || answer.StatusCode >= 300 {
			t.Fatalf("%s: %d %s", path, answer.StatusCode, text)
		}
		if field != "" {
			secrets[name] = fields[field].(string)
		}
		if cookies := answer.Cookies(); len(cookies) > 0 {
			secrets["a session"] = cookies[0].Value
		}
	}
	make("", "/api/users/", `{"username": "ada", "email": "ada@example.com", "role": "viewer", "password": "`+secrets["a person's password"]+`"}`, "", admin...)
	make("", "/api/devices/", `{"key": "kitchen", "name": "Kitchen", "user": 1}`, "", admin...)
	make("a token", "/api/tokens/", `{"name": "Grafana"}`, "token", admin...)
	make("a device's password", "/api/devices/kitchen/credentials/", `{"type": "password"}`, "password", admin...)
	make("a gateway's password", "/api/credentials/", `{"name": "hall", "type": "password", "devices": [7]}`, "password", admin...)
	make("a provisioning key", "/api/provisioning-keys/", `{"name": "batch", "uses": 9}`, "key", admin...)
	make("an enrolled device's password", "/api/enroll/", `{"device": "attic"}`, "password", "Authorization", "Bearer "+secrets["a provisioning key"])
	make("", "/api/login/", `{"username": "ada", "password": "`+secrets["a person's password"]+`"}`, "")
	printed, log, _ := createToken(t, dir, "create", "--role=viewer")
	secrets["a token of the command line"] = strings.TrimSpace(printed)
	printed, more, _ := runCredential(t, dir, s, "create", "--device=cellar")
	if fields := strings.Fields(printed); len(fields) > 3 {
		secrets["a password of the command line"] = fields[3]
	}
	if len(secrets) != 10 {
		t.Fatalf("%d secrets are known", len(secrets))
	}
	logs := []byte(log + more)

	host, port, _ := net.SplitHostPort(s["MQTT_LISTEN_ADDR"])
	publish := func(user, password, topic, payload string) {
		_ = exec.CommandContext(t.Context(), "mosquitto_pub", "-h", host, "-p", port, "-u", user, "-P", password, "-q", "1", "-t", topic, "-m", payload).Run()
	}
	publish("kitchen", secrets["a device's password"], "sensors/kitchen/data", `{"temperature": 21.5}`)
	publish("kitchen", secrets["a device's password"], "sensors/7/data", `{"temperature": 21.5}`) // of another
	publish("kitchen", secrets["a device's password"], "sensors/kitchen/data", "{junk")
	for name, secret := range secrets { // each where it does not belong
		// What somebody has made up himself, and types into the wrong field, nobody can know to be a password.
		if name != "a person's password" {
			publish(secret, "x", "sensors/7/data", "{}")
			send("POST", p.api+"/api/login/", fmt.Sprintf(`{"username": %q, "password": "x"}`, secret))
		}
		publish("kitchen", secret+"x", "sensors/7/data", "{}")
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("kitchen:"+secret+"x"))
		for _, header := range []string{"Bearer " + secret, "Bearer " + secret + "x", basic} {
			send("GET", p.api+"/api/users/", "", "Authorization", header)
			send("POST", p.api+"/api/devices/kitchen/readings/", `{"temperature": 1}`, "Authorization", header)
		}
		send("GET", p.api+"/api/users/?token="+strings.ReplaceAll(secret, " ", "%20"), "")
		send("GET", p.api+"/api/users/", "", "Cookie", "telltale="+strings.ReplaceAll(secret, " ", "_"))
		send("POST", p.api+"/api/login/", fmt.Sprintf(`{"username": "bob", "password": %q}`, secret))
	}
	eventually(t, time.Minute, "who was refused, and what was sent for others, is listed", func() bool {
		_, refused := send("GET", p.api+"/api/auth/refused/", "", admin...)
		_, letters := send("GET", p.api+"/api/dead-letters/", "", admin...)
		return strings.Contains(string(refused), `"surface":"mqtt"`) && strings.Contains(string(refused), `"surface":"http"`) &&
			strings.Contains(string(letters), "device_not_allowed") && strings.Contains(string(letters), "invalid_json")
	})
	for _, path := range []string{
		"/api/auth/refused/", "/api/dead-letters/", "/api/audit/?format=ndjson", "/api/users/", "/api/tokens/", "/api/credentials/", "/api/provisioning-keys/",
		"/api/devices/", "/api/devices/kitchen/credentials/", "/api/system/", "/api/ignored/", "/api/readings/", "/api/devices/kitchen/trace/",
	} {
		answer, text := send("GET", p.api+path, "", admin...)
		if found := secrets.leaked(text); answer.StatusCode != http.StatusOK || found != nil {
			t.Errorf("%s: %d, with %q", path, answer.StatusCode, found)
		}
	}
	for _, path := range []string{"/metrics", "/readyz?verbose"} {
		if _, text := send("GET", "http://"+s["OPS_ADDR"]+path, ""); secrets.leaked(text) != nil {
			t.Errorf("%s has %q", path, secrets.leaked(text))
		}
	}
	look := func(when string) {
		files := 0
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if os.IsNotExist(err) {
				return nil // it was removed meanwhile
			}
			files++
			if found := secrets.leaked(content); found != nil {
				t.Errorf("%s %s has %q", when, path, found)
			}
			return err
		}); err != nil || files < 5 {
			t.Errorf("%s: %d files, %v", when, files, err)
		}
	}
	look("while it runs")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	look("when it has stopped")
	if found := secrets.leaked(append(logs, p.Log()...)); found != nil {
		t.Errorf("the log has %q", found)
	}
}
