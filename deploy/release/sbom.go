package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The part of CycloneDX 1.6 that is used here.
type (
	bom struct {
		Format       string          `json:"bomFormat"`
		SpecVersion  string          `json:"specVersion"`
		SerialNumber string          `json:"serialNumber"`
		Version      int             `json:"version"`
		Metadata     bomMetadata     `json:"metadata"`
		Components   []bomComponent  `json:"components"`
		Dependencies []bomDependency `json:"dependencies"`
	}
	bomMetadata struct {
		Timestamp string       `json:"timestamp,omitempty"`
		Component bomComponent `json:"component"`
	}
	bomComponent struct {
		Type     string       `json:"type"`
		Ref      string       `json:"bom-ref"`
		Name     string       `json:"name"`
		Version  string       `json:"version"`
		PURL     string       `json:"purl"`
		Licenses []bomLicense `json:"licenses,omitempty"`
	}
	bomLicense struct {
		License bomLicenseID `json:"license"`
	}
	bomLicenseID struct {
		ID string `json:"id"`
	}
	bomDependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// bomOf is the bill of materials of the components. Its serial number is that of what it lists: the same again is the same.
func (r *release) bomOf(all []component) ([]byte, error) {
	self := component{name: "telltale", version: r.version, purl: "pkg:golang/" + root + "@" + r.version}
	ours := bomComponent{"application", self.purl, self.name, self.version, self.purl, []bomLicense{{bomLicenseID{"Apache-2.0"}}}}
	b := bom{
		Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Components: []bomComponent{}, Metadata: bomMetadata{Component: ours},
	}
	if !r.date.IsZero() {
		b.Metadata.Timestamp = r.date.Format(time.RFC3339)
	}
	needs := bomDependency{Ref: self.purl}
	listed := self.purl
	for _, c := range all {
		listed += "\n" + c.purl
		entry := bomComponent{Type: "library", Ref: c.purl, Name: c.name, Version: c.version, PURL: c.purl}
		seen := map[string]bool{}
		for _, text := range c.licenses {
			if id := licenseOf(text); id != "" && !seen[id] {
				seen[id] = true
				entry.Licenses = append(entry.Licenses, bomLicense{bomLicenseID{id}})
			}
		}
		b.Components = append(b.Components, entry)
		needs.DependsOn = append(needs.DependsOn, c.purl)
	}
	b.Dependencies = []bomDependency{needs}
	id := sha256.Sum256([]byte(listed))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8: of one's own
	b.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}

func (r *release) writeSBOM(all []component) error {
	text, err := r.bomOf(all)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dist, "telltale_"+r.version+".cdx.json"), text, 0o644)
}

// licenseOf returns the SPDX identifier of a license by words that it alone has; "" for another one, and for a notice.
func licenseOf(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	has := func(words string) bool { return strings.Contains(text, words) }
	switch {
	case has("Apache License") && has("Version 2.0") && has("TERMS AND CONDITIONS"):
		return "Apache-2.0"
	case has("Mozilla Public License") && has("2.0"):
		return "MPL-2.0"
	case has("Eclipse Public License - v 2.0"):
		return "EPL-2.0"
	case has("Permission is hereby granted, free of charge"):
		return "MIT"
	case has("Permission to use, copy, modify, and/or distribute this software for any purpose"):
		return "ISC"
	case has("Redistribution and use in source and binary forms") && (has("Neither the name") || has("may not be used to endorse")):
		return "BSD-3-Clause"
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	case has("free and unencumbered software released into the public domain"):
		return "Unlicense"
	}
	return ""
}
