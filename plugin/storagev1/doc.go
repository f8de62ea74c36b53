// Package storagev1 is the contract between longshore and its storage plugins, made of storage.proto.
package storagev1

//go:generate sh generate.sh
