package plugin

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/config"
)

// Config says which program the plugin is. [Defaults] fills in what can be.
type Config struct {
	Command      []string        `yaml:"command" doc:"the plugin's program and its arguments; a name without a slash is looked for in PATH"`
	Config       config.Document `yaml:"config" doc:"the plugin's own settings, which its documentation lists"`
	StartTimeout time.Duration   `yaml:"start_timeout" min:"1s" doc:"how long the plugin may take from its start until it has opened its backend"`

	// Log gets the lines that the plugin prints, and is told when it ends. Nil: the lines go to the process's own stderr, with the plugin's
	// name before each.
	Log *slog.Logger `yaml:"-" json:"-"`
}

// Defaults returns the configuration to which the command has to be added.
func Defaults() Config { return Config{StartTimeout: 30 * time.Second} }

// LogTo sets Log.
func (c *Config) LogTo(log *slog.Logger) { c.Log = log }

// Validate returns all that is wrong, joined; each message begins with the name of a field. It starts nothing: what is wrong below
// config is said by Open.
func (c Config) Validate() error {
	var errs []error
	if len(c.Command) == 0 || strings.TrimSpace(c.Command[0]) == "" {
		errs = append(errs, errors.New("command: required"))
	}
	if c.StartTimeout < time.Second {
		errs = append(errs, fmt.Errorf("start_timeout: %v is less than a second", c.StartTimeout))
	}
	return errors.Join(errs...)
}
