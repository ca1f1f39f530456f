package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// web is the folder of the dashboard.
const web = "services/query-api/web"

// component is something of others that is in the binaries.
type component struct {
	name, version string
	purl          string   // names it in all registries
	licenses      []string // texts, each once
}

// linked returns what is in the binaries of programs for p in dir: modules of Go by what the binaries say, with the license files
// beside the packages that are in them, and of npm what the dashboard is made of, where that is in them.
func (r *release) linked(ctx context.Context, p platform, dir string, programs ...string) ([]component, error) {
	modules := map[string]string{} // path: version
	for _, program := range programs {
		if p.os == "windows" {
			program += ".exe"
		}
		info, err := buildinfo.ReadFile(filepath.Join(dir, program))
		if err != nil {
			return nil, err
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			if m.Path != root && !strings.HasPrefix(m.Path, root+"/") && !strings.HasPrefix(m.Path, ".") {
				modules[m.Path] = m.Version
			}
		}
	}
	texts, dashboard, err := r.licenseTexts(ctx, p, programs)
	if err != nil {
		return nil, err
	}
	goRoot, err := r.output(ctx, p, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	license, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(goRoot)), "LICENSE"))
	if err != nil {
		return nil, err
	}
	version := strings.TrimPrefix(runtime.Version(), "go")
	all := []component{{name: "Go's standard library", version: version, purl: "pkg:golang/std@" + version, licenses: []string{string(license)}}}
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		c := component{name: path, version: modules[path], purl: "pkg:golang/" + path + "@" + modules[path], licenses: texts[path]}
		if len(c.licenses) == 0 {
			return nil, fmt.Errorf("module %s has no license file", path)
		}
		all = append(all, c)
	}
	if !dashboard {
		return all, nil
	}
	packages, err := r.npm()
	return append(all, packages...), err
}

func (r *release) output(ctx context.Context, p platform, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.Stderr = r.repository, p.env(), os.Stderr
	return cmd.Output()
}

// licenseFile are the names of files with a license, or with what one asks to be told.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|unlicense|e[dp]l-v)`)

// licenseTexts returns the texts that lie beside the linked packages of each module, and in the folders above them; and whether the
// dashboard is in the programs.
func (r *release) licenseTexts(ctx context.Context, p platform, programs []string) (texts map[string][]string, dashboard bool, err error) {
	args := []string{"list", "-deps", "-f", "{{if .Module}}{{.Module.Path}}\t{{.Module.Dir}}\t{{.Dir}}{{end}}"}
	for _, program := range programs {
		args = append(args, "./services/"+program)
	}
	out, err := r.output(ctx, p, args...)
	if err != nil {
		return nil, false, err
	}
	texts = map[string][]string{}
	seen := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		module, folders, _ := strings.Cut(lines.Text(), "\t")
		top, dir, ok := strings.Cut(folders, "\t")
		if !ok {
			continue // of the standard library
		}
		dashboard = dashboard || strings.HasSuffix(filepath.ToSlash(dir), "/"+web)
		for ; strings.HasPrefix(dir, top) && !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			found, err := textsIn(dir)
			if err != nil {
				return nil, false, err
			}
			texts[module] = append(texts[module], found...)
		}
	}
	for module, all := range texts {
		slices.Sort(all)
		texts[module] = slices.Compact(all)
	}
	return texts, dashboard, nil
}

// textsIn returns the contents of the license files in dir.
func textsIn(dir string) (texts []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !licenseFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, strings.ToValidUTF8(strings.ReplaceAll(string(text), "\r\n", "\n"), "?"))
	}
	return texts, nil
}

// npm returns the packages that the dashboard is made of: those of its lock file that are not for building it alone.
func (r *release) npm() (all []component, err error) {
	text, err := os.ReadFile(filepath.Join(r.repository, web, "package-lock.json"))
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct {
			Version string
			Dev     bool
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(lock.Packages)) {
		p := lock.Packages[path]
		if path == "" || p.Dev {
			continue
		}
		name := path[strings.LastIndex(path, "node_modules/")+len("node_modules/"):]
		texts, err := textsIn(filepath.Join(r.repository, web, path))
		if err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			return nil, fmt.Errorf("npm package %s has no license file", name)
		}
		all = append(all, component{
			name: name, version: p.Version, purl: "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + p.Version, licenses: texts,
		})
	}
	return all, nil
}

// merged has each component once, in the order of their names.
func merged(all []component) []component {
	slices.SortFunc(all, func(a, b component) int { return cmp.Compare(a.purl, b.purl) })
	return slices.CompactFunc(all, func(a, b component) bool { return a.purl == b.purl })
}

// notices are the components with their licenses. What several have in common is there once.
func notices(all []component) string {
	users := map[string][]string{} // of a text
	for _, c := range all {
		for _, text := range c.licenses {
			users[text] = append(users[text], c.name+" "+c.version)
		}
	}
	var out strings.Builder
	out.WriteString("Telltale is under the Apache License 2.0, in LICENSE. Its programs have in them what is listed here, each under\nthe license that stands below its name.\n")
	texts := slices.SortedFunc(maps.Keys(users), func(a, b string) int {
		return cmp.Or(cmp.Compare(users[a][0], users[b][0]), cmp.Compare(a, b))
	})
	for _, text := range texts {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], "\n"), strings.TrimSpace(text))
	}
	return out.String()
}
