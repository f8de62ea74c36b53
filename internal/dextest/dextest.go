// Package dextest runs dex, an OpenID Connect provider, for tests: people with passwords, somebody with groups, and a client for programs.
package dextest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// install says how to build it.
const install = "go build -C internal/dextest/tool -trimpath -o $LONGSHORE_TOOLS/dex github.com/dexidp/dex/cmd/dex"

// What dex knows.
const (
	Client   = "longshore" // for the login of people
	Secret   = "a client's secret"
	Workload = "ci" // a client whose tokens are taken for those of programs
	Password = "a person's password"

	Alice = "alice@example.org" // with Password, at the connector "local"

	// Grouped logs in without a password, at the connector "mock", and is in Group.
	Grouped = "kilgore@kilgore.trout"
	Group   = "authors"
)

// Server is a running dex.
type Server struct {
	Issuer string

	dir     string
	process *daemon.Process
}

// Options of Start.
type Options struct {
	Callbacks []string // where people may be sent back
}

// Start starts a dex that ends with the test. It fails the test if the program is missing or does not start.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	var errs []error
	// Between the choice of a free port and the server's use of it another process may take it.
	for range 3 {
		s, err := launch(o)
		if err == nil {
			t.Cleanup(s.stop)
			return s
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return nil
}

func launch(o Options) (*Server, error) {
	port, err := daemon.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "dextest-")
	if err != nil {
		return nil, err
	}
	s := &Server{Issuer: fmt.Sprintf("http://127.0.0.1:%d/dex", port), dir: dir}
	if err = s.write(port, o); err == nil {
		err = s.Run()
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// write makes the configuration. JSON is YAML, too. Keys are kept in a file, so that they are there again after Kill and Run.
func (s *Server) write(port int, o Options) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.DefaultCost) // dex takes none of less
	if err != nil {
		return err
	}
	type object = map[string]any
	client := func(id string) object {
		return object{"id": id, "name": id, "secret": Secret, "redirectURIs": o.Callbacks}
	}
	body, err := json.Marshal(object{
		"issuer":           s.Issuer,
		"storage":          object{"type": "sqlite3", "config": object{"file": filepath.Join(s.dir, "dex.db")}},
		"web":              object{"http": fmt.Sprintf("127.0.0.1:%d", port)},
		"oauth2":           object{"skipApprovalScreen": true, "passwordConnector": "local", "responseTypes": []string{"code"}},
		"enablePasswordDB": true,
		"connectors":       []object{{"type": "mockCallback", "id": "mock", "name": "Mock"}},
		"staticClients":    []object{client(Client), client(Workload)},
		"staticPasswords":  []object{{"email": Alice, "hash": string(hash), "username": "alice", "userID": "4711"}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "config.yml"), body, 0o600)
}

// Run starts the server, for the first time or again after Kill.
func (s *Server) Run() error {
	program, err := daemon.Find("dex", install)
	if err != nil {
		return err
	}
	if s.process, err = daemon.Start(exec.Command(program, "serve", filepath.Join(s.dir, "config.yml"))); err != nil {
		return err
	}
	return s.process.UntilAnswers(s.Issuer + "/.well-known/openid-configuration")
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
	}
}

func (s *Server) stop() {
	s.Kill()
	_ = os.RemoveAll(s.dir) // in the system's folder of temporary files, which cleans itself
}

// Token fetches an ID token for Alice, as a client's program does.
func (s *Server) Token(ctx context.Context, client string) (string, error) {
	form := url.Values{"grant_type": {"password"}, "username": {Alice}, "password": {Password}, "scope": {"openid email profile"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(Secret))
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	var said struct {
		Token string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Token == "" {
		return "", fmt.Errorf("dex answers %s: %s", answer.Status, body)
	}
	return said.Token, nil
}
