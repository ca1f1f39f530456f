package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestChangelog(t *testing.T) {
	const changelog = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-29\n- News.\n\n## [1.2.2]\n"
	if at, err := released(changelog, "v1.2.3"); err != nil || at.Format(time.RFC3339) != "2026-11-29T00:00:00Z" {
		t.Errorf("%v, %v", at, err)
	}
	for _, version := range []string{"v1.2.2", "v1.2", "v1x2.3", "v1.2.33"} {
		if _, err := released(changelog, version); err == nil {
			t.Errorf("%s has an entry", version)
		}
	}
}

// A release that cannot be made leaves what is in its folder.
func TestRefused(t *testing.T) {
	repository, dist := t.TempDir(), t.TempDir()
	kept, changelog := filepath.Join(dist, "kept"), filepath.Join(repository, "CHANGELOG.md")
	for path, content := range map[string]string{kept: "", changelog: "## [1.2.3] - 2026-11-29\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for version, want := range map[string]string{
		"":                 "is not as v1.2.3",
		"1.2.3":            "is not as v1.2.3",
		"v1.2.3-5-gabcdef": "is not as v1.2.3",
		"v1.2.4":           "CHANGELOG.md has no entry ## [1.2.4] - YYYY-MM-DD",
		"v1.2.3":           "`make web`",
	} {
		r := release{version: version, repository: repository, changelog: changelog, dist: dist, platforms: platforms}
		if err := r.make(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", version, err)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestLicenses(t *testing.T) {
	for text, want := range map[string]string{
		"Apache License\n Version 2.0, January 2004\n TERMS AND CONDITIONS FOR USE":           "Apache-2.0",
		"MIT License\n\nPermission is hereby granted, free of charge, to any person":          "MIT",
		"Redistribution and use in source\n// and binary forms":                               "",
		"Redistribution and use in source and\nbinary forms, with or without":                 "BSD-2-Clause",
		"Redistribution and use in source and binary forms ...\n* Neither the name of Google": "BSD-3-Clause",
		"Mozilla Public License, version 2.0":                                                 "MPL-2.0",
		"This product includes software developed by ...":                                     "",
	} {
		if got := licenseOf(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	got := notices([]component{{name: "b", version: "1", licenses: []string{"same"}}, {name: "a", version: "2", licenses: []string{"same", "other"}}})
	if strings.Count(got, "same") != 1 || !strings.Contains(got, "b 1\na 2\n\nsame\n") || !strings.Contains(got, "a 2\n\nother\n") {
		t.Errorf("the notices are:\n%s", got)
	}
}

// TestRelease makes a release for this platform twice, compares the two, and runs what is in it.
func TestRelease(t *testing.T) {
	if os.Getenv("TEST_RELEASE") != "1" {
		t.Skip("TEST_RELEASE is not 1: it builds binaries")
	}
	at := slices.Index(platforms, platform{runtime.GOOS, runtime.GOARCH})
	if at < 0 || runtime.GOOS != "linux" {
		t.Skip("no release for this platform is tried out")
	}
	const version = "v0.0.1"
	changelog := filepath.Join(t.TempDir(), "CHANGELOG.md")
	if err := os.WriteFile(changelog, []byte("## [0.0.1] - 2026-01-02\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var made [2]map[string][]byte
	var dist string
	for i := range made {
		dist = filepath.Join(t.TempDir(), "dist")
		r := release{version: version, registry: "registry.example", repository: "../..", changelog: changelog, dist: dist, platforms: platforms[at : at+1]}
		if err := r.make(t.Context()); err != nil {
			t.Fatal(err)
		}
		made[i] = contents(t, dist)
	}
	name := fmt.Sprintf("telltale_%s_linux_%s", version, runtime.GOARCH)
	for _, want := range []string{name + ".tar.gz", name + ".oci.tar", "telltale_" + version + ".cdx.json", "SHA256SUMS"} {
		if !bytes.Equal(made[0][want], made[1][want]) || len(made[0][want]) == 0 {
			t.Errorf("%s is not the same twice", want)
		}
	}
	if len(made[0]) != 4 {
		t.Errorf("there are %d files", len(made[0]))
	}
	checkSums(t, made[0])
	checkImage(t, made[0][name+".oci.tar"])
	checkSBOM(t, made[0]["telltale_"+version+".cdx.json"])

	dir := t.TempDir()
	unpack(t, made[0][name+".tar.gz"], dir)
	dir = filepath.Join(dir, name)
	for _, program := range programs {
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, program), "--version").Output()
		if err != nil || !strings.Contains(string(out), version) {
			t.Errorf("%s --version: %s, %v", program, out, err)
		}
	}
	for file, want := range map[string]string{"LICENSE": "Apache License", "THIRD_PARTY_NOTICES": "modernc.org/sqlite", "README.md": "# Telltale", "install.md": "systemd", "telltale.service": "[Service]"} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	opens(t, filepath.Join(dir, "all-in-one"))
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if all[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func checkSums(t *testing.T, made map[string][]byte) {
	t.Helper()
	lines := 0
	for line := range strings.Lines(string(made["SHA256SUMS"])) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := fmt.Sprintf("%x", sha256.Sum256(made[name])); got != sum {
			t.Errorf("%s: %s", name, sum)
		}
		lines++
	}
	if lines != len(made)-1 {
		t.Errorf("%d hashes of %d files", lines, len(made)-1)
	}
}

// checkImage looks whether each part of an image is what its name says, and whether the program is in it.
func checkImage(t *testing.T, archive []byte) {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if sum, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok && sum != fmt.Sprintf("%x", sha256.Sum256(files[h.Name])) {
			t.Errorf("%s has another hash", h.Name)
		}
	}
	var docker []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &docker); err != nil || len(docker) != 1 || docker[0].RepoTags[0] != "registry.example/all-in-one:v0.0.1" {
		t.Fatalf("%+v, %v", docker, err)
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(files[docker[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer, err := gzip.NewReader(bytes.NewReader(files[docker[0].Layers[0]]))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(layer)
	if err != nil || digest(plain) != config.RootFS.DiffIDs[0] {
		t.Errorf("the layer is not %v: %v", config.RootFS.DiffIDs, err)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
	}
	for _, want := range []string{"all-in-one", "data/", "tmp/", "licenses/THIRD_PARTY_NOTICES"} {
		if !slices.Contains(names, want) {
			t.Errorf("the image has %v, and no %s", names, want)
		}
	}
}

func checkSBOM(t *testing.T, text []byte) {
	t.Helper()
	var b bom
	if err := json.Unmarshal(text, &b); err != nil || b.Format != "CycloneDX" || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(b.SerialNumber) {
		t.Fatalf("%+v, %v", b.SerialNumber, err)
	}
	licensed := 0
	for _, want := range []string{"pkg:golang/modernc.org/sqlite@", "pkg:golang/std@", "pkg:npm/preact@", "pkg:npm/%40preact/signals@", "pkg:npm/uplot@"} {
		if !slices.ContainsFunc(b.Components, func(c bomComponent) bool { return strings.HasPrefix(c.PURL, want) }) {
			t.Errorf("it has no %s", want)
		}
	}
	for _, c := range b.Components {
		if len(c.Licenses) > 0 {
			licensed++
		} else {
			t.Logf("the license of %s is not known by its words", c.PURL)
		}
	}
	if licensed < len(b.Components)*9/10 {
		t.Errorf("%d of %d have a license", licensed, len(b.Components))
	}
}

func unpack(t *testing.T, archive []byte, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tar", "-xzf", "-", "-C", dir)
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v, %s", err, out)
	}
}

// opens starts all-in-one in an empty folder, and asks it for the dashboard.
func opens(t *testing.T, program string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{"DATA_DIR=" + t.TempDir(), "MQTT_LISTEN_ADDR=127.0.0.1:0", "KAFKA_LISTEN_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0"}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	url := ""
	for lines := bufio.NewScanner(out); url == "" && lines.Scan(); { // where it is, is printed when it is ready
		url = address.FindString(lines.Text())
	}
	if url == "" {
		t.Fatalf("it does not say where it is: %v", cmd.Wait())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(page), "/assets/main-") {
		t.Errorf("/ is %d, %v: %.200s", res.StatusCode, err, page)
	}
	cancel()
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("it ends with %v", err)
	}
}
