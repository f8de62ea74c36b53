// Package storagev1 is the contract between longshore and its storage plugins: what was made of storage.proto, which explains it,
// and how the types of package drivers are put on the wire. Authors of plugins in Go need no more than package plugin.
package storagev1

import goplugin "github.com/hashicorp/go-plugin"

//go:generate sh generate.sh

// Version is that of the contract. longshore refuses a plugin of another one when it starts.
const Version = 1

// PluginService is the name of the one service of a plugin, for go-plugin.
const PluginService = "storage"

// WatchVariable holds the number of a file that ends when longshore does: a plugin that does not watch it lives on.
const WatchVariable = "LONGSHORE_PLUGIN_WATCH"

// MaxMessage is the size in bytes of the largest message. Bodies of Put are in one; all else that can be large comes in pieces.
const MaxMessage = 64 << 20

// MaxPut is the size in bytes of the largest body of a Put. What is left of its message is for the key and the condition.
const MaxPut = MaxMessage - 64<<10

// PieceSize is how many bytes of a body or a state longshore and plugins in Go put into one message. Larger ones were not faster, and of
// 64 KiB a third slower: see the benchmark of drivers/plugin.
const PieceSize = 256 << 10

// Window is how many bytes of one stream may be on their way, so that a slow side makes the other wait. ConnectionWindow is that of all
// streams together. Only what is in the hands of gRPC itself counts to it, so one stream that nobody reads does not stop the others; with gRPC's
// own 64 KiB everything takes twice as long.
const (
	Window           = 1 << 20
	ConnectionWindow = 4 << 20
)

// BufferSize is how many bytes are read from and written to the socket at once.
const BufferSize = 128 << 10

// Handshake lets each side see that the other is what it takes it for.
func Handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{
		ProtocolVersion: Version, MagicCookieKey: "LONGSHORE_STORAGE_PLUGIN", MagicCookieValue: "a plugin is started by longshore",
	}
}
