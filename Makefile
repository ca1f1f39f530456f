# `make help` lists the targets. Tools are pinned here and run through `go run`; nothing needs installing.
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BUF      := go run github.com/bufbuild/buf/cmd/buf@v1.75.0
# go test with the race detector, which tells of a package when it ends, and of none before it in the list. All that run
# tests with it have the same flags: what a package's tests have come to is kept, and what needs no server runs once.
# SQLite, which is translated from C, has memory of its own, which the detector does not watch; to look took three times as long.
UNWATCHED := modernc.org/sqlite/lib modernc.org/libc/...
GOTEST   := go run gotest.tools/gotestsum@v1.13.0 --format pkgname --format-hide-empty-pkg --hide-summary skipped -- -race -vet=off -timeout 15m $(UNWATCHED:%=-gcflags=%=-race=false)

MODULES  := $(shell sed -n 's|^[[:space:]]*\./||p' go.work)
IMAGES   := mqtt-bridge ingest-writer cache-updater query-api simulator
SERVICES := $(IMAGES) all-in-one telltale
ROOT     := github.com/telltale-iot/telltale

SERVER_URLS := TEST_MQTT_URL TEST_KAFKA_BROKERS TEST_MONGODB_URI TEST_REDIS_URL TEST_MYSQL_URL TEST_POSTGRES_URL

# What --version of the binaries and images says.
export VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -ldflags "-X $(ROOT)/pkg/daemon.version=$(VERSION) -X main.version=$(VERSION)"

# The images' names, for docker compose too; the Kubernetes manifests read that file themselves.
include deploy/images/images.env
export IMAGE_REGISTRY IMAGE_TAG
# Without: an attestation has the time of the build in it, so that every build would be another image.
export BUILDX_NO_DEFAULT_ATTESTATIONS := 1

COMPOSE := docker compose
EVERYTHING := COMPOSE_PROFILES=infra,mysql,postgres,listen,demo,observe

.DEFAULT_GOAL := help
.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

.PHONY: build
build: web ## every binary, into bin/
	go build $(LDFLAGS) -o bin/ $(SERVICES:%=./services/%)

.PHONY: run
run: web ## all-in-one with demo devices, data in ./data
	go build $(LDFLAGS) -o bin/ ./services/all-in-one
	bin/all-in-one --demo 5

.PHONY: serve
serve: web ## all-in-one for the devices and browsers of the network, who need credentials; data in ./data
	go build $(LDFLAGS) -o bin/ ./services/all-in-one
	AUTH=$${AUTH:-auto} MQTT_LISTEN_ADDR=$${MQTT_LISTEN_ADDR:-:1883} HTTP_ADDR=$${HTTP_ADDR:-:8000} bin/all-in-one

# The dashboard is in the binaries. Go alone builds them too, without it.
WEB := services/query-api/web
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
.PHONY: web
ifneq ($(shell command -v npm),)
web: $(WEB)/dist/index.html ## the dashboard, where its source has changed
else
web:
	@echo "The dashboard is left out, as npm is not here: to have it, install Node.js 20 or newer, with npm."
endif
$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(WEB)/build.mjs $(shell find $(WEB)/src -type f)
	cd $(WEB) && node build.mjs
$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	cd $(WEB) && $(NPM_CI)

.PHONY: web-check
web-check: web ## types, unit tests and size of the dashboard
	cd $(WEB) && npm run check && npm test

# VERSION=v1.2.3, of which CHANGELOG.md has an entry. PLATFORMS=linux_amd64,… makes some of them.
.PHONY: release
release: web ## binaries and images of a version for all platforms, with notices, SBOM and hashes, into dist/
	go run ./deploy/release -version '$(VERSION)' -registry '$(IMAGE_REGISTRY)' -platforms '$(PLATFORMS)'

.PHONY: release-check
release-check: web ## a release for this platform, twice: are its bytes the same, and does what is in it run?
	TEST_RELEASE=1 go test -count=1 -timeout 30m ./deploy/release

.PHONY: test
test: ## every test that needs no server, with the race detector
	env $(SERVER_URLS:%=-u %) $(GOTEST) -p 4 work

.PHONY: accept
accept: ## the contract, against the deployment that the ACCEPT_ variables name, or an all-in-one of its own
	go test -count=1 ./deploy/acceptance/contract

.PHONY: accept-compose
accept-compose: up ## the contract, against docker compose
	. deploy/accept-urls.sh; go test -count=1 ./deploy/acceptance/contract

.PHONY: images
images: .env ## the image of every service
	$(EVERYTHING) $(COMPOSE) build $(IMAGES)

.PHONY: image-sizes
image-sizes: images ## each image is under 30 MB
	@for s in $(IMAGES); do \
	  n=$$(docker image inspect -f '{{.Size}}' $(IMAGE_REGISTRY)/$$s:$(IMAGE_TAG)); echo "$$n $$s"; [ $$n -lt 30000000 ] || exit 1; done

.PHONY: up
up: .env images ## servers and services by docker compose, until they are healthy
	@sh deploy/up.sh
	@sh deploy/credentials.sh
	@sh deploy/try-it.sh

.PHONY: down
down: .env ## stop what `make up` started; data stays
	$(EVERYTHING) $(COMPOSE) down --remove-orphans

.PHONY: clean
clean: ## stop it and drop its data
	@sh deploy/env.sh new
	$(EVERYTHING) $(COMPOSE) down --remove-orphans --volumes

.PHONY: logs
logs: .env ## follow the logs of the services
	$(EVERYTHING) $(COMPOSE) logs -f --tail 100 mqtt-bridge ingest-writer cache-updater query-api query-api-postgres query-api-listen mqtt-bridge-listen

.PHONY: ps
ps: .env ## what runs, and how it is
	$(EVERYTHING) $(COMPOSE) ps

.PHONY: .env
.env:
	@sh deploy/env.sh

.PHONY: servers
servers: .env ## the servers of docker-compose.yml, for work on the services
	@COMPOSE_PROFILES=infra sh deploy/up.sh

.PHONY: test-real
test-real: servers ## the tests on real servers
	. deploy/test-urls.sh; export TEST_REQUIRE=1; $(GOTEST) -p 2 $(REAL_PACKAGES) && \
	$(GOTEST) -run TestSubscribedBacklog ./services/all-in-one
REAL_PACKAGES := $(addprefix $(ROOT)/,pkg/daemon/... pkg/kafka/... pkg/readings pkg/readings/mongo pkg/metadata/... pkg/latest/... pkg/deadletters/... \
	services/mqtt-bridge/... services/ingest-writer/... services/cache-updater/... services/query-api/...)

.PHONY: test-secured
test-secured: ## the services on servers that demand TLS and passwords
	TEST_SECURED=1 go test -count=1 -timeout 15m ./deploy/acceptance/secured

.PHONY: test-compose
test-compose: images ## what `make up` says of a taken port, an old password, a service that is not ready …; Mosquitto's accounts
	TEST_COMPOSE=1 go test -count=1 -timeout 5m ./deploy/acceptance/compose ./services/query-api/dynsec

.PHONY: test-start-order
test-start-order: images ## compose in random orders, and Kafka a minute late
	go run ./deploy/acceptance/startorder

# FAULT=regular expression, MODE=subscribe or listen, TIMES=how often each fault is injected at least, DURATION=time
# for which it is repeated, SEED=number
.PHONY: faults
faults: .env ## break services, servers and networks under load: is all that was acknowledged stored?
	go run ./deploy/acceptance/faults $(FAULT:%=-fault '%') $(MODE:%=-mode %) $(TIMES:%=-times %) $(DURATION:%=-duration %) $(SEED:%=-seed %)

# N cuts, in the four rows that there are of them; it takes root.
N ?= 200
.PHONY: power-cuts
power-cuts: ## take the power of all-in-one's machine N times (200), at bad moments
	TEST_REQUIRE=1 $(MAKE) faults FAULT='^power-cut' TIMES=$$((($(N) + 3) / 4))

.PHONY: faults-red
faults-red: ## the same with services that acknowledge too early, or sync nothing: it must fail
	sh deploy/acceptance/faults/red.sh

# RED=regular expression of what is broken
.PHONY: faults-red-history
faults-red-history: ## the same with an all-in-one that seals, migrates or removes readings wrongly
	RED='$(RED)' sh deploy/acceptance/faults/red-history.sh

# MUTANT=regular expression
.PHONY: mutants
mutants: ## break each promise by a line, and see its tests fail
	go run ./deploy/acceptance/mutants $(MUTANT:%=-mutant '%')

# HISTORY_STORED=readings among which charts and statistics are (3,000,000), HISTORY_EXPORTED=readings of exports (1,000,000),
# KILLS=how often the process is killed
KILLS ?= 50
.PHONY: history-check
history-check: ## years of readings at length: what they cost, exports, charts for many, and kills while they are sealed
	TEST_HISTORY=1 go test -count=1 -v -timeout 3h ./deploy/acceptance/historycheck
	TEST_READINGS=50000 TEST_KILLS=$(KILLS) go test -count=1 -v -timeout 2h -run '^TestHistory' ./services/all-in-one

# ATTACK=regular expression
.PHONY: attacks
attacks: ## what a stranger who reaches a port may do: does anybody else suffer?
	go run ./deploy/acceptance/attacks $(ATTACK:%=-attack '%')

.PHONY: clients
clients: ## the API's description, as linters and generators of clients read it
	cd deploy/acceptance/clients && $(NPM_CI)
	TEST_CLIENTS=1 go test -count=1 ./deploy/acceptance/clients

.PHONY: examples
examples: ## the programs in examples, as devices of Telltale while it is started again
	cd examples/node && $(NPM_CI)
	cd deploy/acceptance/examples && python3 -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	TEST_EXAMPLES=1 go test -count=1 ./deploy/acceptance/examples

# SCREENSHOTS=absolute path of a folder
.PHONY: browser
browser: ## the pages, as Chromium shows them
	TEST_BROWSER=1 go test -count=1 -timeout 10m ./deploy/acceptance/browser

# PAGE=name of a file of tests, as overview; SCREENSHOTS=absolute path of a folder
.PHONY: dashboard
dashboard: web ## the dashboard in Chromium, on an all-in-one with simulated devices
	go build $(LDFLAGS) -o bin/ ./services/all-in-one ./services/simulator
	cd deploy/acceptance/dashboard && $(NPM_CI) && npm run check && npm test -- $(PAGE)

.PHONY: dashboard-replicas
dashboard-replicas: up ## the overview in Chromium, on docker compose with two replicas of query-api
	cd deploy/acceptance/dashboard && $(NPM_CI)
	sh deploy/acceptance/dashboard/replicas.sh

# BENCH=regular expression of rows, BENCH_READINGS and BENCH_SECONDS: how much load, BENCH_STORED: how much history
.PHONY: bench
bench: servers ## the table of speed and memory beside their floors, on real servers
	. deploy/test-urls.sh; go run ./deploy/acceptance/load $(BENCH:%=-row '%')

.PHONY: check
check: fmt-check vet lint tidy-check standalone proto-check k8s-check ## everything but the tests

.PHONY: fmt
fmt: ## format the code
	$(GOLANGCI) fmt $(MODULES:%=./%/...)

.PHONY: fmt-check
fmt-check:
	@out=$$(gofmt -l $(MODULES)); [ -z "$$out" ] || { echo "not formatted (make fmt):"; echo "$$out"; exit 1; }

.PHONY: alerts-check
alerts-check: ## the alerts of Prometheus, and that they fire on what they are for; by Prometheus' own promtool
	cd deploy/prometheus && promtool check rules alerts.yml && promtool test rules alerts_test.yml

.PHONY: vet
vet:
	go vet work

.PHONY: lint
lint: $(MODULES:%=lint/%) ## golangci-lint in every module
.PHONY: $(MODULES:%=lint/%)
$(MODULES:%=lint/%): lint/%:
	cd $* && $(GOLANGCI) run ./...

.PHONY: tidy
tidy: ## go mod tidy in every module
	for m in $(MODULES); do (cd $$m && go mod tidy) || exit 1; done

.PHONY: tidy-check
tidy-check:
	for m in $(MODULES); do (cd $$m && go mod tidy -diff) || exit 1; done

# A workspace hides a missing require or replace; a build of the module alone does not.
.PHONY: standalone
standalone:
	for m in $(MODULES); do (cd $$m && GOWORK=off go build -o /dev/null ./... && GOWORK=off go vet ./...) || exit 1; done

.PHONY: proto
proto: ## generate the Go code of proto/
	cd proto && $(BUF) generate

# The commit before this one, or this one where the clone is shallow.
PROTO_BASE ?= $(shell git rev-parse -q --verify HEAD~1 || git rev-parse HEAD)
.PHONY: proto-check
proto-check:
	cd proto && $(BUF) lint && $(BUF) breaking --against '../.git#ref=$(PROTO_BASE),subdir=proto'
	cd proto && $(BUF) generate && git diff --exit-code -- .

.PHONY: k8s-check
k8s-check: ## Kubernetes' manifests, against its schemas
	@sh k8s/check.sh
