package cli

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

const page = "../docs/configuration.md"

// TestConfigurationPage fails when the reference is not what the settings say.
func TestConfigurationPage(t *testing.T) {
	want := configurationPage(t)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/configuration.md is out of date; write it with\n\tgo test ./cli -run TestConfigurationPage -update")
	}
}

// configurationPage is the reference: words, then a table for each section.
func configurationPage(t *testing.T) string {
	s := defaultSettings(table(folderHere))
	keys, err := config.Keys(s, envPrefix)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(introduction)
	settingsType := reflect.TypeFor[settings]()
	for i := range settingsType.NumField() {
		field := settingsType.Field(i)
		section := field.Tag.Get("yaml")
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", section, field.Tag.Get("doc"))
		if section == "storage" {
			fmt.Fprintf(&b, "\nThe driver's name alone picks it with its defaults: `storage: memory`, or `LONGSHORE_STORAGE=memory`. Default: `%s`.\n", s.Storage.Chosen)
			for _, a := range s.Storage.Among {
				fmt.Fprintf(&b, "\n### storage.%s\n\n%s\n", a.Name, a.Doc)
				rows(&b, keys, "storage."+a.Name+".")
			}
			continue
		}
		rows(&b, keys, section+".")
	}
	b.WriteString(examples)
	return b.String()
}

// rows writes the table of the settings whose path begins so.
func rows(b *strings.Builder, keys []config.Key, prefix string) {
	first := true
	for _, k := range keys {
		if !strings.HasPrefix(k.Path, prefix) {
			continue
		}
		if first {
			b.WriteString("\n| setting, variable | type | default | |\n| --- | --- | --- | --- |\n")
			first = false
		}
		limits := ""
		switch {
		case k.Min != "" && k.Max != "":
			limits = ", " + k.Min + " to " + k.Max
		case k.Min != "":
			limits = ", at least " + k.Min
		case k.Max != "":
			limits = ", at most " + k.Max
		}
		value := ""
		if k.Value != "" {
			value = "`" + k.Value + "`"
		}
		name := "`" + k.Path + "`"
		if k.Env != "" {
			name += "<br>`" + k.Env + "`"
		}
		fmt.Fprintf(b, "| %s | %s%s | %s | %s |\n", name, k.Type, limits, value, sentence(k.Doc))
	}
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	s = strings.NewReplacer("<name>", "&lt;name&gt;", "|", `\|`, "**", `\*\*`, "A * ", `A \* `).Replace(s)
	if s != "" && !strings.HasSuffix(s, ".") {
		s += "."
	}
	return upperFirst(s)
}

// TestEverySettingIsDescribed looks at every setting of the program and its drivers: it has a sentence for the
// reference, and its variable sets it.
func TestEverySettingIsDescribed(t *testing.T) {
	samples := map[string]string{
		"text": "some-text", "secret": "hush", "bool": "", "number": "7", "duration": "7m", "size": "7MiB",
		"list of networks": "10.0.0.0/8, 192.0.2.1", "list of patterns": "a/*,b", "list of texts": "a,b", "keys": "a: hush",
	}
	keys, err := config.Keys(defaultSettings(table(folderHere)), envPrefix)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if k.Doc == "" {
			t.Errorf("%s has no doc", k.Path)
		}
		if k.Env == "" {
			continue // an item of a list of sections is set with the whole list
		}
		if seen[k.Env] {
			t.Errorf("%s sets two settings", k.Env)
		}
		seen[k.Env] = true
		sample, simple := samples[k.Type]
		switch k.Path {
		case "gc.retention":
			sample = "** last=1"
		case "tls.life":
			sample = "48h"
		}
		if k.Type == "bool" {
			sample = map[string]string{"true": "false", "false": "true"}[k.Value]
		} else if k.Type == "list of sections" {
			continue // TestAccessSettings has one
		} else if words, list := strings.CutPrefix(k.Type, "list of "); list && !simple {
			sample, _, _ = strings.Cut(words, ",") // the first word alone
		} else if !simple { // one of some words: any but the default
			for _, word := range strings.FieldsFunc(strings.ReplaceAll(k.Type, " or ", ", "), func(r rune) bool { return r == ',' || r == ' ' }) {
				if word != k.Value {
					sample = word
				}
			}
		}
		s := defaultSettings(table(folderHere))
		got, err := config.Load(s, config.Options{Prefix: envPrefix, Env: []string{k.Env + "=" + sample}})
		// Some values make sense only together with others; here it counts that this one arrived.
		var problems config.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatal(err)
		}
		arrived := false
		for _, g := range got {
			if g.Path == k.Path {
				arrived = g.Source.Env == k.Env && g.Value != k.Value
			}
		}
		if !arrived {
			t.Errorf("%s=%s does not set %s: %v", k.Env, sample, k.Path, err)
		}
	}
}

const introduction = `# Configuration

<!-- Made of the settings' own descriptions: go test ./cli -run TestConfigurationPage -update -->

Longshore needs no configuration. What is not set has the default given here.

` + "```sh" + `
longshore serve                       # defaults: port 5000, images in ./longshore-data
longshore serve config.yml            # a file
LONGSHORE_HTTP_ADDR=:5001 longshore serve             # the environment
LONGSHORE_HTTP_ADDR=:5001 longshore serve config.yml  # both: the environment wins
longshore check config.yml            # what is wrong with it, by line; then tries the store
longshore config show config.yml      # what counts in the end, and where each value is from
longshore budgets config.yml          # how many requests the registry's work costs the store
longshore gc config.yml               # removes what nothing refers to; serve does it by itself
longshore leftovers config.yml        # what unfinished uploads have left in the store
longshore tag history config.yml team/app:latest      # what the tag pointed at before
` + "```" + `

` + "`serve`, `check`, `config show`, `budgets` and `leftovers`" + ` take the file and the environment in the same way.

**The file** is YAML. A key that is not known, is set twice or is in the wrong place is an error, with its line and the key that
was probably meant. Values are taken as they are written: the bucket ` + "`007` stays `007`" + `. ` + "`${NAME}`" + ` in a
value stands for the environment variable NAME, which has to be set; ` + "`$${` stands for a plain `${`" + `.

**The environment** has a variable for every setting: ` + "`LONGSHORE_`" + ` and the path in upper case, joined by underscores.
Lists are separated by commas. With ` + "`_FILE`" + ` appended the variable names a file that holds the value, as Docker's and
Kubernetes' secrets do: ` + "`LONGSHORE_STORAGE_MINIO_SECRET_KEY_FILE=/run/secrets/minio`" + `. A variable that begins with
` + "`LONGSHORE_`" + ` and sets nothing is an error, except for those that Kubernetes makes for a service called longshore.

| type | is written |
| --- | --- |
| bool | ` + "`true`, `false`; also `yes`, `no`, `on`, `off`, `1`, `0`" + ` |
| duration | ` + "`500ms`, `30s`, `5m`, `24h`, `1h30m`" + ` |
| size | ` + "`64KiB`, `4MiB`, `1.5GiB`" + ` in powers of 1024, ` + "`64KB`, `1GB`" + ` in powers of 1000, or a number of bytes |
| network | ` + "`10.0.0.0/8`, `fd00::/8`" + `, or one address, ` + "`192.0.2.7`" + ` |
| pattern | ` + "`team/*`, `mirror/**`" + `: a * stands for anything but a slash, ** for anything, ? for one byte |
| list | ` + "`[a, b]`, or a line that begins with `-`" + ` for each; in the environment ` + "`a,b`" + ` |
| list of sections | a line that begins with ` + "`-`" + ` for each, with its keys; in the environment the same YAML on one line, ` + "`[{a: 1}, {a: 2}]`" + ` |
| keys, each with … | ` + "`{a: 1, b: 2}`" + ` |
| secret | text; it is shown as ` + "`***`" + ` wherever the program prints it |
`

const examples = `
## Examples

A folder, for this machine only:

` + "```yaml" + `
http:
  addr: 127.0.0.1:5000
storage:
  fs:
    root: /srv/images
` + "```" + `

A bucket of MinIO, behind a proxy that ends TLS:

` + "```yaml" + `
http:
  addr: :5000
  trusted_proxies: [10.0.0.0/8]
storage:
  minio:
    endpoint: https://minio.example.com
    bucket: images
    access_key: longshore
    secret_key: ${MINIO_SECRET_KEY}
` + "```" + `

The same from the environment alone:

` + "```sh" + `
LONGSHORE_HTTP_TRUSTED_PROXIES=10.0.0.0/8
LONGSHORE_STORAGE_MINIO_ENDPOINT=https://minio.example.com
LONGSHORE_STORAGE_MINIO_BUCKET=images
LONGSHORE_STORAGE_MINIO_ACCESS_KEY=longshore
LONGSHORE_STORAGE_MINIO_SECRET_KEY_FILE=/run/secrets/minio
` + "```" + `

Pulls go to the store itself for clients of one network, and deletes are not allowed:

` + "```yaml" + `
storage:
  minio:
    endpoint: https://minio.example.com
    bucket: images
    access_key: longshore
    secret_key: ${MINIO_SECRET_KEY}
redirect:
  enabled: true
  networks: [10.20.0.0/16]
delete:
  enabled: false
` + "```" + `
`
