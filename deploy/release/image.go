package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"time"
)

// user owns the data in the image, and is who all-in-one runs as: that of distroless images, too.
const user = 65532

// digest is how an image names its parts.
func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// descriptor is a part of an image, as the OCI image specification has it.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *ociPlatform      `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type ociPlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// image collects the parts of an image, and where in its archive they are.
type image struct{ files []file }

func (i *image) add(mediaType string, content []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digest(content), Size: len(content)}
	i.files = append(i.files, file{name: blob(d), mode: 0o644, content: content})
	return d
}

func blob(d descriptor) string { return "blobs/" + strings.Replace(d.Digest, ":", "/", 1) }

// writeImage writes an image of all-in-one out of the files of its archive: the program, its licenses, a folder for data and one
// for what is temporary; nothing else, and no shell. It is an OCI image, with the list that docker load reads beside it.
func (r *release) writeImage(to string, p platform, packed []file) error {
	layer := []file{
		{name: "data/", mode: 0o700, owner: user},
		{name: "licenses/", mode: 0o755},
		{name: "tmp/", mode: 0o1777},
	}
	for _, f := range packed {
		switch f.name = path.Base(f.name); f.name {
		case "all-in-one":
			layer = append(layer, f)
		case "LICENSE", "THIRD_PARTY_NOTICES":
			f.name = "licenses/" + f.name
			layer = append(layer, f)
		}
	}
	plain, err := tarOf(layer, r.date)
	if err != nil {
		return err
	}
	small, err := zipped(plain)
	if err != nil {
		return err
	}
	on := ociPlatform{Architecture: p.arch, OS: "linux"}
	if p.arch == "armv7" {
		on = ociPlatform{Architecture: "arm", OS: "linux", Variant: "v7"}
	}
	config, err := json.Marshal(r.imageConfig(on, digest(plain)))
	if err != nil {
		return err
	}
	var i image
	configAt := i.add("application/vnd.oci.image.config.v1+json", config)
	layerAt := i.add("application/vnd.oci.image.layer.v1.tar+gzip", small)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": configAt, "layers": []descriptor{layerAt},
	})
	if err != nil {
		return err
	}
	name := r.registry + "/all-in-one:" + r.version
	at := i.add("application/vnd.oci.image.manifest.v1+json", manifest)
	at.Platform, at.Annotations = &on, map[string]string{"org.opencontainers.image.ref.name": r.version, "io.containerd.image.name": name}
	for file, content := range map[string]any{
		"oci-layout": map[string]string{"imageLayoutVersion": "1.0.0"},
		"index.json": map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []descriptor{at}},
		"manifest.json": []map[string]any{{ // for docker load
			"Config": blob(configAt), "RepoTags": []string{name}, "Layers": []string{blob(layerAt)},
		}},
	} {
		if err := i.addIndex(file, content); err != nil {
			return err
		}
	}
	sortByName(i.files)
	archive, err := tarOf(i.files, r.date)
	if err != nil {
		return err
	}
	return os.WriteFile(to, archive, 0o644)
}

func (i *image) addIndex(name string, content any) error {
	text, err := json.Marshal(content)
	i.files = append(i.files, file{name: name, mode: 0o644, content: text})
	return err
}

// imageConfig has all-in-one listen on all addresses of its container: which of its ports others reach is said by whoever runs it.
func (r *release) imageConfig(on ociPlatform, layer string) map[string]any {
	config := map[string]any{
		"User": fmt.Sprintf("%d:%d", user, user),
		"Env": []string{
			"DATA_DIR=/data", "MQTT_LISTEN_ADDR=:1883", "HTTP_ADDR=:8000", "KAFKA_LISTEN_ADDR=:9092", "OPS_ADDR=:9100",
		},
		"Entrypoint":   []string{"/all-in-one"},
		"WorkingDir":   "/",
		"ExposedPorts": map[string]any{"1883/tcp": struct{}{}, "8000/tcp": struct{}{}, "9092/tcp": struct{}{}, "9100/tcp": struct{}{}},
		"Volumes":      map[string]any{"/data": struct{}{}},
		"Healthcheck":  map[string]any{"Test": []string{"CMD", "/all-in-one", "--health"}},
		"Labels": map[string]string{
			"org.opencontainers.image.title": "telltale all-in-one", "org.opencontainers.image.version": r.version,
			"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.source": "https://" + root,
		},
	}
	created := r.date.Format(time.RFC3339)
	all := map[string]any{
		"architecture": on.Architecture, "os": on.OS, "created": created, "config": config,
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{layer}},
		"history": []map[string]string{{"created": created, "created_by": "make release"}},
	}
	if on.Variant != "" {
		all["variant"] = on.Variant
	}
	return all
}
