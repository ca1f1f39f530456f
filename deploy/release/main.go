// Command release makes what a version is published as, in dist/:
//
//	telltale_V_OS_ARCH.tar.gz, .zip   all-in-one and telltale, static, with LICENSE, NOTICES and the documents to install them
//	telltale_V_OS_ARCH.oci.tar        an image of all-in-one, for docker load, podman load and skopeo
//	telltale_V.cdx.json               the bill of materials (SBOM), in CycloneDX: what is linked into the binaries
//	SHA256SUMS                        of all of them
//
// With -describe it makes none of these: for each program in that folder, which is of the one platform that -platforms names, it
// writes what an image of it has beside it: LICENSE, THIRD_PARTY_NOTICES and sbom.cdx.json, in the folder licenses there.
//
// Run twice on the same sources, with the same Go and Node.js, it makes the same bytes. It fails where the changelog has no
// entry of the version, the dashboard is not built, or something is linked that has no license file
// (docs/adr/0204-notices-and-sbom-from-what-is-linked.md).
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const root = "github.com/telltale-iot/telltale"

// programs are what an archive has.
var programs = []string{"all-in-one", "telltale"}

// platform is what binaries are made for.
type platform struct{ os, arch string }

var platforms = []platform{
	{"linux", "amd64"}, {"linux", "arm64"}, {"linux", "armv7"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"},
}

func (p platform) String() string { return p.os + "_" + p.arch }

// env are the variables of the go command.
func (p platform) env() []string {
	arch, arm := p.arch, ""
	if p.arch == "armv7" {
		arch, arm = "arm", "7"
	}
	return append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+arch, "GOARM="+arm)
}

// release is one version, and where it is made from and goes to.
type release struct {
	version, registry string // v1.2.3, and what images are named after
	repository, dist  string
	changelog         string    // the file that has an entry of the version
	date              time.Time // of the changelog's entry, and so of every file
	platforms         []platform
}

func main() {
	log.SetFlags(0)
	r := release{repository: ".", dist: "dist", changelog: "CHANGELOG.md", platforms: platforms}
	only := flag.String("platforms", "", "those of the platforms to make, as linux_amd64,windows_amd64; empty: all")
	flag.StringVar(&r.version, "version", "", "the version, as v1.2.3")
	flag.StringVar(&r.registry, "registry", "telltale", "what the image is named after")
	flag.StringVar(&r.dist, "dist", r.dist, "the folder to write to; what is in it is removed")
	describe := flag.String("describe", "", "a folder with programs to write notices and bills of materials of, and nothing else")
	flag.Parse()
	if *only != "" {
		r.platforms = slices.DeleteFunc(slices.Clone(platforms), func(p platform) bool { return !slices.Contains(strings.Split(*only, ","), p.String()) })
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := r.make
	if *describe != "" {
		do = func(ctx context.Context) error { return r.describe(ctx, *describe) }
	}
	if err := do(ctx); err != nil {
		log.Fatal("release: ", err) //nolint:gocritic // nothing is left to stop
	}
}

var versions = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func (r *release) make(ctx context.Context) (err error) {
	if !versions.MatchString(r.version) {
		return fmt.Errorf("the version %q is not as v1.2.3", r.version)
	}
	if len(r.platforms) == 0 {
		return errors.New("no platform is left")
	}
	changelog, err := os.ReadFile(r.changelog)
	if err != nil {
		return err
	}
	if r.date, err = released(string(changelog), r.version); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(r.repository, web, "dist", "index.html")); err != nil {
		return fmt.Errorf("the dashboard is not built, which `make web` does: %w", err)
	}
	if err := os.RemoveAll(r.dist); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dist, 0o755); err != nil {
		return err
	}
	binaries, err := os.MkdirTemp("", "telltale-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(binaries) }()
	var all []component
	for _, p := range r.platforms {
		start := time.Now()
		linked, err := r.makePlatform(ctx, p, binaries)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		all = append(all, linked...)
		log.Printf("%s made in %v", p, time.Since(start).Round(time.Second))
	}
	if err := r.writeSBOM(merged(all)); err != nil {
		return err
	}
	return r.writeSums()
}

// released returns the date of a version's entry in a changelog.
func released(changelog, version string) (time.Time, error) {
	entry := regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(strings.TrimPrefix(version, "v")) + `\] - (\d{4}-\d{2}-\d{2})$`)
	m := entry.FindStringSubmatch(changelog)
	if m == nil {
		return time.Time{}, fmt.Errorf("CHANGELOG.md has no entry ## [%s] - YYYY-MM-DD: what is new in it, from [Unreleased]", strings.TrimPrefix(version, "v"))
	}
	return time.Parse(time.DateOnly, m[1])
}

// makePlatform makes the archive of p and, for Linux, the image. It returns what is linked.
func (r *release) makePlatform(ctx context.Context, p platform, binaries string) ([]component, error) {
	dir := filepath.Join(binaries, p.String())
	if err := r.build(ctx, p, dir); err != nil {
		return nil, err
	}
	linked, err := r.linked(ctx, p, dir, programs...)
	if err != nil {
		return nil, err
	}
	packed, err := r.packed(p, dir, notices(linked))
	if err != nil {
		return nil, err
	}
	name := filepath.Join(r.dist, fmt.Sprintf("telltale_%s_%s", r.version, p))
	if p.os == "windows" {
		return linked, writeZip(name+".zip", packed, r.date)
	}
	if err := writeTarGz(name+".tar.gz", packed, r.date); err != nil || p.os != "linux" {
		return linked, err
	}
	return linked, r.writeImage(name+".oci.tar", p, packed)
}

// build builds the programs for p into dir.
func (r *release) build(ctx context.Context, p platform, dir string) error {
	flags := "-s -w -X " + root + "/pkg/daemon.version=" + r.version + " -X main.version=" + r.version
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", dir + string(filepath.Separator)}
	for _, program := range programs {
		args = append(args, "./services/"+program)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.Stderr = r.repository, p.env(), os.Stderr
	return cmd.Run()
}

// packed are the files of the archive of p.
func (r *release) packed(p platform, binaries, notices string) ([]file, error) {
	folder := fmt.Sprintf("telltale_%s_%s/", r.version, p)
	files := []file{{name: folder + "THIRD_PARTY_NOTICES", mode: 0o644, content: []byte(notices)}}
	add := func(name, path string, mode int64) error {
		content, err := os.ReadFile(path)
		files = append(files, file{name: folder + name, mode: mode, content: content})
		return err
	}
	suffix := ""
	if p.os == "windows" {
		suffix = ".exe"
	}
	var failed error
	for _, program := range programs {
		failed = errors.Join(failed, add(program+suffix, filepath.Join(binaries, program+suffix), 0o755))
	}
	documents := []string{"LICENSE", "README.md", "CHANGELOG.md", "docs/install.md"}
	if p.os == "linux" {
		documents = append(documents, "deploy/systemd/telltale.service")
	}
	for _, path := range documents {
		failed = errors.Join(failed, add(filepath.Base(path), filepath.Join(r.repository, path), 0o644))
	}
	sortByName(files)
	return files, failed
}

// writeSums writes the hashes of all that is in dist, as sha256sum does.
func (r *release) writeSums() error {
	entries, err := os.ReadDir(r.dist)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(r.dist, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), e.Name())
	}
	log.Printf("%d files in %s, by %s", len(entries)+1, r.dist, runtime.Version())
	return os.WriteFile(filepath.Join(r.dist, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
