module github.com/telltale-iot/telltale/services/cache-updater

go 1.26.0

require (
	github.com/telltale-iot/telltale/pkg v0.0.0
	github.com/telltale-iot/telltale/proto v0.0.0 // indirect
)

replace (
	github.com/telltale-iot/telltale/pkg => ../../pkg
	github.com/telltale-iot/telltale/proto => ../../proto
)
