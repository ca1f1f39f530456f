module github.com/telltale-iot/telltale/services/all-in-one

go 1.26.0

require (
	github.com/telltale-iot/telltale/pkg v0.0.0
	github.com/telltale-iot/telltale/proto v0.0.0 // indirect
)

replace (
	github.com/telltale-iot/telltale/pkg => ../../pkg
	github.com/telltale-iot/telltale/proto => ../../proto
)

replace (
	github.com/telltale-iot/telltale/services/cache-updater => ../cache-updater
	github.com/telltale-iot/telltale/services/ingest-writer => ../ingest-writer
	github.com/telltale-iot/telltale/services/mqtt-bridge => ../mqtt-bridge
	github.com/telltale-iot/telltale/services/query-api => ../query-api
	github.com/telltale-iot/telltale/services/simulator => ../simulator
)
