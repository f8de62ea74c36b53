package drivers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestSecretIsNeverShown(t *testing.T) {
	type config struct {
		Key Secret `yaml:"key" json:"key"`
	}
	c := config{Key: "hunter2hunter2"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("opened", "key", c.Key)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for how, got := range map[string]string{
		"%v":       fmt.Sprint(c),
		"%+v":      fmt.Sprintf("%+v", c),
		"%#v":      fmt.Sprintf("%#v", c),
		"%q":       fmt.Sprintf("%q", c.Key),
		"%x":       fmt.Sprintf("%x", c.Key),
		"slog":     log.String(),
		"JSON":     string(asJSON),
		"YAML":     string(asYAML),
		"in error": fmt.Errorf("bad key %s", c.Key).Error(),
	} {
		if strings.Contains(got, "hunter2") || strings.Contains(got, "68756e746572") {
			t.Errorf("%s shows the secret: %s", how, got)
		}
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("an empty secret is shown as %q, want nothing", got)
	}
}

func TestSecretIsReadFromYAML(t *testing.T) {
	var c struct {
		Key Secret `yaml:"key"`
	}
	if err := yaml.Unmarshal([]byte("key: hunter2\n"), &c); err != nil {
		t.Fatal(err)
	}
	if string(c.Key) != "hunter2" {
		t.Errorf("got %q, want hunter2", string(c.Key))
	}
}
