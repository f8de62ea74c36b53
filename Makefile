# make try   shows longshore at work: installs skopeo, serves, pushes and pulls an image
# make test  installs what the tests need and runs all of them
# make unit  runs the tests that need no servers and no clients
# make conformance   runs longshore conformance on a new MinIO
# make bench         writes docs/performance.md: Longshore beside other registries
# make fuzz          runs each fuzz test for FUZZTIME
# make stores        writes docs/stores.md: all suites on all stores

.PHONY: build try test unit check tools apt conformance stores fuzz bench

# The tools that the tests need, in the versions that they were tried with. go install builds them into TOOLS.
GO_TOOLS = \
	github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
	github.com/regclient/regclient/cmd/regctl@v0.11.7 \
	oras.land/oras/cmd/oras@v1.3.6 \
	helm.sh/helm/v4/cmd/helm@v4.3.1 \
	github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111 \
	github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c \
	github.com/versity/versitygw/cmd/versitygw@v1.8.0 \
	github.com/fsouza/fake-gcs-server@v1.56.1 \
	github.com/moby/moby/v2/cmd/dockerd@v2.0.0-beta.24 \
	github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1 \
	github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv@v2.10.1 \
	honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEBIAN_PACKAGES = skopeo podman buildah docker.io containerd git gcc libc6-dev \
	protobuf-compiler ceph-mon ceph-osd radosgw ceph-common swift-proxy swift-account swift-container swift-object memcached \
	glance-api keystone slapd curl openssl

export LONGSHORE_TOOLS ?= $(CURDIR)/bin

# Without Google's modules for gRPC, which the driver gcs does not use, the program is smaller, on disk and in memory.
PROGRAM = longshore
build:
	go build -trimpath -tags disable_grpc_modules -ldflags "-s -w" -o $(PROGRAM) ./cmd/longshore

try: DEBIAN_PACKAGES = skopeo
try: apt
	go run ./e2e/try

# The last line is the totals of all tests, alone.
test: apt tools check
	go run ./e2e/report -require e2e/required.txt \
		'test -race -tags integration -count 1 -timeout 30m ./...' \
		'test -tags integration -count 1 -timeout 20m -run ^TestTableMinIO$$ ./registry/api' \
		'test -count 1 -timeout 20m -run ^(TestRandom|TestTheChecker|TestAllSchedules|TestTheExplorer) ./registry/simulation -schedules 100000' \
		'test -tags e2e -count 1 -timeout 40m ./e2e'

stores: apt tools
	go run ./e2e/report -stores e2e/stores.txt -table docs/stores.md \
		'test -tags integration -count 1 -timeout 30m -run ^(TestConformance|TestConformanceOverMemory|TestConformanceOverFS|TestCeph)$$ ./drivers/...' \
		'test -tags e2e -count 1 -timeout 40m -run ^(TestOCIConformance|TestPushAndPull|TestRoughStore)$$ ./e2e'

unit:
	go test -race ./...

bench: DEBIAN_PACKAGES = nginx-light
bench: apt
	for tool in github.com/distribution/distribution/v3/cmd/registry@v3.1.2 $(filter github.com/minio/minio@%,$(GO_TOOLS)); do \
		GOBIN=$(LONGSHORE_TOOLS) go install "$$tool" || exit 1; done
	go run ./bench/peers

FUZZTIME ?= 10s
fuzz:
	@grep -rl --include=*_test.go '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$dir/*_test.go | cut -d' ' -f2); do \
			echo "$$dir $$f"; go test $$dir -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; done

conformance:
	GOBIN=$(LONGSHORE_TOOLS) go install $(filter github.com/minio/minio@%,$(GO_TOOLS))
	go run ./conformance/try

check:
	@test -z "$$(gofmt -l .)" || { echo "gofmt has changes for:"; gofmt -l .; exit 1; }
	go vet -tags integration,e2e ./...
	$(LONGSHORE_TOOLS)/staticcheck -tags integration,e2e ./...

tools:
	for tool in $(GO_TOOLS); do echo "$$tool"; GOBIN=$(LONGSHORE_TOOLS) go install "$$tool" || exit 1; done
	go build -C internal/dextest/tool -trimpath -o $(abspath $(LONGSHORE_TOOLS))/dex github.com/dexidp/dex/cmd/dex

apt:
	@if dpkg-query -W -f '$${db:Status-Status}\n' $(DEBIAN_PACKAGES) 2>&1 | grep -qvx installed; then \
		sh e2e/apt-install.sh $(DEBIAN_PACKAGES); fi
