package glancetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"strconv"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// admin is the password of keystone's first user.
const admin = "for tests only"

// region is the only one.
const region = "RegionOne"

// startKeystone starts a keystone with the users of Server.
func (s *Server) startKeystone(ctx context.Context) error {
	program, err := daemon.Find("keystone-wsgi-public", packages)
	if err != nil {
		return err
	}
	manage, err := daemon.Find("keystone-manage", packages)
	if err != nil {
		return err
	}
	port, err := daemon.FreePort()
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		return err
	}
	config, err := s.write("keystone.conf", keystoneConfig)
	if err != nil {
		return err
	}
	s.AuthURL = fmt.Sprintf("http://127.0.0.1:%d/v3", port)
	owner := []string{"--keystone-user", me.Username, "--keystone-group", group.Name}
	for _, args := range [][]string{
		{"db_sync"},
		append([]string{"fernet_setup"}, owner...),
		append([]string{"credential_setup"}, owner...),
		{
			"bootstrap", "--bootstrap-password", admin, "--bootstrap-region-id", region,
			"--bootstrap-public-url", s.AuthURL, "--bootstrap-internal-url", s.AuthURL, "--bootstrap-admin-url", s.AuthURL, // Glance asks for one of the others
		},
	} {
		if _, err := daemon.Command(ctx, os.Environ(), manage, append([]string{"--config-file", config}, args...)...); err != nil {
			return err
		}
	}
	if err := s.manyReaders(ctx, "keystone.sqlite"); err != nil {
		return err
	}
	p, err := daemon.Start(exec.Command(program, "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--", "--config-file", config))
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	if err := p.UntilAnswers(s.AuthURL); err != nil {
		return err
	}
	s.Project, s.Member, s.Reader, s.Password = "registry", "longshore", "onlooker", "a password"
	return s.users(ctx)
}

// users makes the project and its users.
func (s *Server) users(ctx context.Context) error {
	k := keystone{url: s.AuthURL, client: &http.Client{}}
	defer k.client.CloseIdleConnections()
	if err := k.login(ctx, "admin", admin, "admin"); err != nil {
		return err
	}
	project := k.make(ctx, "project", map[string]any{"name": s.Project, "domain_id": "default"})
	for user, role := range map[string]string{s.Member: "member", s.Reader: "reader"} {
		id := k.make(ctx, "user", map[string]any{"name": user, "domain_id": "default", "password": s.Password})
		k.grant(ctx, project, id, role)
	}
	return k.err
}

// catalogue puts the image service into keystone's catalogue.
func (s *Server) catalogue(ctx context.Context) error {
	k := keystone{url: s.AuthURL, client: &http.Client{}}
	defer k.client.CloseIdleConnections()
	if err := k.login(ctx, "admin", admin, "admin"); err != nil {
		return err
	}
	service := k.make(ctx, "service", map[string]any{"name": "glance", "type": "image"})
	k.make(ctx, "endpoint", map[string]any{"interface": "public", "region_id": region, "service_id": service, "url": s.URL})
	return k.err
}

// ApplicationCredential makes one for the user Member.
func (s *Server) ApplicationCredential(ctx context.Context) (id, secret string, err error) {
	k := keystone{url: s.AuthURL, client: &http.Client{}}
	defer k.client.CloseIdleConnections()
	if err := k.login(ctx, s.Member, s.Password, s.Project); err != nil {
		return "", "", err
	}
	secret = "an application's secret"
	id = k.make(ctx, "application_credential", map[string]any{"name": "registry", "secret": secret})
	return id, secret, k.err
}

// keystone makes things in a keystone. After its first failure it does nothing more.
type keystone struct {
	url, token, user string
	client           *http.Client
	err              error
}

func (k *keystone) login(ctx context.Context, user, password, project string) error {
	domain := map[string]any{"name": "Default"}
	var answer struct {
		Token struct {
			User struct {
				ID string `json:"id"`
			} `json:"user"`
		} `json:"token"`
	}
	header := k.call(ctx, http.MethodPost, "/auth/tokens", map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": user, "domain": domain, "password": password},
		}},
		"scope": map[string]any{"project": map[string]any{"name": project, "domain": domain}},
	}}, &answer)
	k.token, k.user = header.Get("X-Subject-Token"), answer.Token.User.ID
	return k.err
}

// make makes one thing and returns its id.
func (k *keystone) make(ctx context.Context, what string, fields map[string]any) (id string) {
	path := "/" + what + "s"
	if what == "application_credential" {
		path = "/users/" + k.user + path
	}
	var answer map[string]struct {
		ID string `json:"id"`
	}
	k.call(ctx, http.MethodPost, path, map[string]any{what: fields}, &answer)
	return answer[what].ID
}

func (k *keystone) grant(ctx context.Context, project, user, role string) {
	var answer struct {
		Roles []struct {
			ID string `json:"id"`
		} `json:"roles"`
	}
	k.call(ctx, http.MethodGet, "/roles?name="+role, nil, &answer)
	if k.err == nil && len(answer.Roles) != 1 {
		k.err = fmt.Errorf("keystone has %d roles %s", len(answer.Roles), role)
	}
	if k.err == nil {
		k.call(ctx, http.MethodPut, "/projects/"+project+"/users/"+user+"/roles/"+answer.Roles[0].ID, nil, nil)
	}
}

func (k *keystone) call(ctx context.Context, method, path string, body, into any) http.Header {
	if k.err != nil {
		return http.Header{}
	}
	header, err := k.try(ctx, method, path, body, into)
	if err != nil {
		k.err = fmt.Errorf("keystone: %s %s: %w", method, path, err)
	}
	return header
}

func (k *keystone) try(ctx context.Context, method, path string, body, into any) (http.Header, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, k.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", k.token)
	answer, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("%s: %s", answer.Status, got)
	}
	if into != nil {
		err = json.Unmarshal(got, into)
	}
	return answer.Header, err
}

// keystoneConfig is that of one process.
const keystoneConfig = `[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///@DIR@/keystone.sqlite
sqlite_synchronous = false
[fernet_tokens]
key_repository = @DIR@/keys
[fernet_receipts]
key_repository = @DIR@/keys
[credential]
key_repository = @DIR@/credential-keys
`
