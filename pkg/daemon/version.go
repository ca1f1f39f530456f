package daemon

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// version is set by the linker, in the images and in what make builds:
// -ldflags "-X github.com/telltale-iot/telltale/pkg/daemon.version=v1.2.3".
var version string

// Version is what --version, /livez and telltale_build_info show: what the linker was given, else
// what the go command recorded of the checkout, else "unknown".
func Version() string {
	recorded := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		recorded = info.Main.Version
	}
	return cmp.Or(version, recorded, "unknown")
}

func registerBuildInfo(metrics prometheus.Registerer) {
	promauto.With(metrics).NewGaugeVec(prometheus.GaugeOpts{
		Name: "telltale_build_info",
		Help: "Always 1; the labels tell which build this is.",
	}, []string{"version", "go_version"}).WithLabelValues(Version(), runtime.Version()).Set(1)
}
