// Package config reads settings into typed structs from a YAML file and from the environment.
//
// The struct is the schema, and the values it holds beforehand are the defaults:
//
//	type HTTP struct {
//		Addr  string        `yaml:"addr" doc:"the address to listen on"`
//		Grace time.Duration `yaml:"shutdown_grace" doc:"how long to wait" min:"0s" max:"1h"`
//	}
//	type Config struct {
//		HTTP    HTTP         `yaml:"http"`
//		Storage config.OneOf `yaml:"storage" doc:"where the images are"`
//	}
//
// A field's key is its yaml tag; without one, its name in snake_case. Further tags are doc (a sentence for
// the reference), enum (the allowed values, separated by commas), min and max (written as a value
// is), unit:"bytes" (an integer is a size) and secret:"true" (never shown). The types are string kinds, bool, integers,
// time.Duration, [Size], netip.Prefix (a network, or one address), [Glob], whatever has
// UnmarshalText, slices of all these, maps from strings to these, nested structs, slices of structs, [OneOf], and [Document] for what somebody else reads. A string kind with
// a String method is shown as that method says, so a secret type hides itself.
//
// A slice of structs is a list of sections: in a variable it is written as YAML, [{name: a}, {name: b}]. A method SetDefaults of the struct gives
// each item its defaults. A map is written as keys, in a variable as a=1,b=2.
//
// A section may have a method Validate() error. It is called once its values are read without a fault; of a joined error
// each part is a problem of its own, and one that begins with "key: " is shown where that key was set.
//
// Every key has an environment variable: the prefix and the path in upper case, joined by "_" (http.addr is
// LONGSHORE_HTTP_ADDR). The same name with _FILE appended names a file that holds the value, as
// Docker secrets do. The environment wins over the file. In the file, ${NAME} stands for the
// variable NAME and $${ for a plain ${.
//
// Scalars are read as they are written: a bucket 007 stays 007 and a key 1e10 stays 1e10.
//
// [Load] reports every problem at once, each with its place and, where one can be guessed, the answer.
package config
