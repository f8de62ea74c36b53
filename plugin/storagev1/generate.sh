#!/bin/sh
# generate.sh [FOLDER]: makes the Go code of storage.proto, here or in another folder. It needs protoc, from Debian's protobuf-compiler.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
GOBIN=$tools go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN=$tools go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.1
PATH=$tools:$PATH protoc --go_out="$out" --go_opt=paths=source_relative --go-grpc_out="$out" --go-grpc_opt=paths=source_relative storage.proto
