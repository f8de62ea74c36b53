//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An account is a name and what a client gives as its password. It may push to the repositories below its own folder.
type account struct {
	kind, name, password, folder string
}

// guard starts a longshore that lets everybody pull and accounts push, with a user, a robot and an API key. challenge is access.challenge.
func guard(t *testing.T, challenge string) (server, []account) {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("http: {addr: %q}\nstorage: {fs: {root: %q}}\naccess: {anonymous: [pull], challenge: %s}\n", addr, filepath.Join(dir, "images"), challenge)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := server{remote{addr}, start(t, exec.Command(made.longshore, "serve", config))}
	s.wait(func() error {
		res, err := http.Get("http://" + addr + "/livez")
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			err = errors.New(res.Status)
		}
		return errors.Join(err, res.Body.Close())
	})
	sh := newShell(t)
	secret := func(what string, args ...string) string {
		t.Helper()
		out := sh.run(made.longshore, args...)
		found := regexp.MustCompile(`(?m)^` + what + `: +(\S+)$`).FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("longshore %s says %q", strings.Join(args, " "), out)
		}
		return found[1]
	}
	return s, []account{
		{"user", "alice", secret("password", "user", "add", config, "alice", "--generate"), "alice"},
		{"robot", "robot$ci", secret("secret", "robot", "add", config, "ci", "--allow", "pull,push=ci/**"), "ci"},
		{"key", "alice", secret("key", "key", "add", config, "alice", "--allow", "pull,push=keys/**"), "keys"},
	}
}

// An accessClient is how a client logs in, and pushes and pulls an image. Its shell has no login before.
type accessClient struct {
	login      func(sh *shell, addr string, a account)
	push, pull func(sh *shell, ref string) error
}

// TestAccess has each client log in, push and pull with each kind of account, over tokens and over Basic; pull without an account, over tokens; and
// fail to push without one, and where the account may not.
func TestAccess(t *testing.T) {
	type site struct {
		challenge string
		server    server
		accounts  []account
	}
	var sites []site
	for _, challenge := range []string{"bearer", "basic"} {
		s, accounts := guard(t, challenge)
		sites = append(sites, site{challenge, s, accounts})
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T) (accessClient, func(*testing.T) *shell)
	}{
		{"skopeo", skopeoAccess}, {"podman", podmanAccess}, {"crane", craneAccess}, {"oras", orasAccess}, {"helm", helmAccess}, {"regctl", regctlAccess},
		{"docker", dockerAccess(debianDockerd)}, {"moby", dockerAccess("dockerd")},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, fresh := c.make(t)
			for _, s := range sites {
				at := s.server.addr + "/"
				for _, a := range s.accounts {
					t.Run(a.kind+" by "+s.challenge, func(t *testing.T) {
						sh := fresh(t)
						client.login(sh, s.server.addr, a)
						mine := at + a.folder + "/" + c.name + ":1"
						if err := errors.Join(client.push(sh, mine), client.pull(sh, mine)); err != nil {
							t.Error(err)
						}
						if a.kind == "user" {
							return
						}
						if err := client.push(sh, at+"elsewhere/"+c.name+":1"); err == nil {
							t.Error("a push to where the account may not push succeeded")
						}
					})
				}
				if s.challenge == "basic" {
					continue // docker before version 23, and regctl, send nothing without an account then
				}
				t.Run("nobody by "+s.challenge, func(t *testing.T) {
					sh := fresh(t)
					if err := client.pull(sh, at+"alice/"+c.name+":1"); err != nil {
						t.Error(err)
					}
					if err := client.push(sh, at+"alice/"+c.name+":2"); err == nil {
						t.Error("a push without an account succeeded")
					}
				})
			}
		})
	}
	for _, s := range sites {
		log, err := os.ReadFile(s.server.log)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range s.accounts {
			if strings.Contains(string(log), a.password) {
				t.Errorf("the log tells the secret of the %s", a.kind)
			}
		}
	}
}

// try runs a command, and gives what it wrote as its error.
func (s *shell) try(name string, args ...string) error {
	s.t.Helper()
	stdout, stderr, err := s.exec("", name, args)
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout, stderr)
	}
	return nil
}

func craneAccess(*testing.T) (accessClient, func(*testing.T) *shell) {
	return accessClient{
		login: func(sh *shell, addr string, a account) {
			sh.feed(a.password, "crane", "auth", "login", addr, "-u", a.name, "--password-stdin")
		},
		push: func(sh *shell, ref string) error {
			return sh.try("crane", "push", "--insecure", made.small.dir, ref)
		},
		pull: func(sh *shell, ref string) error {
			return sh.try("crane", "pull", "--insecure", "--format", "oci", ref, filepath.Join(sh.t.TempDir(), "out"))
		},
	}, newShell
}

func skopeoAccess(*testing.T) (accessClient, func(*testing.T) *shell) {
	return accessClient{
		login: func(sh *shell, addr string, a account) {
			sh.feed(a.password, "skopeo", "login", noTLS, "-u", a.name, "--password-stdin", addr)
		},
		push: func(sh *shell, ref string) error {
			return sh.try("skopeo", append(insecure[:len(insecure):len(insecure)], "oci:"+made.small.dir+":1", "docker://"+ref)...)
		},
		pull: func(sh *shell, ref string) error {
			return sh.try("skopeo", append(insecure[:len(insecure):len(insecure)], "docker://"+ref, "oci:"+filepath.Join(sh.t.TempDir(), "out")+":1")...)
		},
	}, newShell
}

func podmanAccess(t *testing.T) (accessClient, func(*testing.T) *shell) {
	options := storage(t)
	podman := func(sh *shell, args ...string) error {
		sh.t.Helper()
		return sh.try("podman", slices.Concat(options, args)...)
	}
	return accessClient{
		login: func(sh *shell, addr string, a account) {
			sh.feed(a.password, "podman", slices.Concat(options, []string{"login", noTLS, "-u", a.name, "--password-stdin", addr})...)
		},
		push: func(sh *shell, ref string) error {
			id := sh.run("podman", slices.Concat(options, []string{"pull", "-q", "oci:" + made.small.dir + ":1"})...)
			return podman(sh, "push", "-q", noTLS, strings.TrimSpace(id), ref)
		},
		pull: func(sh *shell, ref string) error {
			return errors.Join(podman(sh, "rmi", "--all", "--force"), podman(sh, "pull", "-q", noTLS, ref))
		},
	}, newShell
}

func orasAccess(*testing.T) (accessClient, func(*testing.T) *shell) {
	return accessClient{
		login: func(sh *shell, addr string, a account) {
			sh.feed(a.password, "oras", "login", "--plain-http", "-u", a.name, "--password-stdin", addr)
		},
		push: func(sh *shell, ref string) error {
			sh.write("notes.txt", "notes")
			return sh.try("oras", "push", "--plain-http", "--artifact-type", "application/x.demo", ref, "notes.txt:text/plain")
		},
		pull: func(sh *shell, ref string) error { return sh.try("oras", "pull", "--plain-http", "-o", "out", ref) },
	}, newShell
}

// helmAccess takes what comes before the tag for the folder of a chart, and the name of the chart for the client's.
func helmAccess(*testing.T) (accessClient, func(*testing.T) *shell) {
	parts := func(ref string) (folder, version string) {
		repo, tag := ref[:strings.LastIndex(ref, ":")], ref[strings.LastIndex(ref, ":")+1:]
		return "oci://" + strings.TrimSuffix(repo, "/helm"), tag + ".0.0"
	}
	return accessClient{
		login: func(sh *shell, addr string, a account) {
			sh.feed(a.password, "helm", "registry", "login", "--plain-http", "-u", a.name, "--password-stdin", addr)
		},
		push: func(sh *shell, ref string) error {
			folder, version := parts(ref)
			sh.run("helm", "create", "helm")
			sh.run("helm", "package", "helm", "--version", version)
			return sh.try("helm", "push", "--plain-http", "helm-"+version+".tgz", folder)
		},
		pull: func(sh *shell, ref string) error {
			folder, version := parts(ref)
			return sh.try("helm", "pull", "--plain-http", folder+"/helm", "--version", version, "-d", sh.t.TempDir())
		},
	}, newShell
}

func regctlAccess(*testing.T) (accessClient, func(*testing.T) *shell) {
	plain := func(sh *shell, ref string) {
		addr, _, _ := strings.Cut(ref, "/")
		sh.run("regctl", "registry", "set", "--tls", "disabled", "--req-per-sec", "1000", "--skip-check", addr)
	}
	return accessClient{
		login: func(sh *shell, addr string, a account) {
			plain(sh, addr)
			sh.feed(a.password, "regctl", "registry", "login", "-u", a.name, "--pass-stdin", addr)
		},
		push: func(sh *shell, ref string) error {
			plain(sh, ref)
			return sh.try("regctl", "image", "copy", "ocidir://"+made.small.dir+":1", ref)
		},
		pull: func(sh *shell, ref string) error {
			plain(sh, ref)
			return sh.try("regctl", "image", "copy", ref, "ocidir://"+filepath.Join(sh.t.TempDir(), "out")+":1")
		},
	}, newShell
}

// dockerAccess is docker with an engine, which all shells share.
func dockerAccess(dockerd string) func(t *testing.T) (accessClient, func(*testing.T) *shell) {
	return func(t *testing.T) (accessClient, func(*testing.T) *shell) {
		if !strings.Contains(dockerd, "/") {
			dockerd = filepath.Join(toolsDir(), dockerd)
		}
		e := startEngine(t, dockerd)
		archive := filepath.Join(e.dir, "small.tar")
		const image = "access:1"
		e.run("skopeo", "copy", "-q", "oci:"+made.small.dir+":1", "docker-archive:"+archive+":"+image)
		fresh := func(t *testing.T) *shell {
			sh := newShell(t)
			sh.env = append(sh.env, e.env[len(e.env)-3:]...) // where the engine is
			return sh
		}
		return accessClient{
			login: func(sh *shell, addr string, a account) {
				sh.feed(a.password, dockerCLI, "login", "-u", a.name, "--password-stdin", addr)
			},
			push: func(sh *shell, ref string) error {
				sh.run(dockerCLI, "load", "-q", "-i", archive)
				return errors.Join(sh.try(dockerCLI, "tag", image, ref), sh.try(dockerCLI, "push", "-q", ref))
			},
			pull: func(sh *shell, ref string) error {
				_ = sh.try(dockerCLI, "rmi", "-f", ref, image) // what is not there need not go
				return sh.try(dockerCLI, "pull", "-q", ref)
			},
		}, fresh
	}
}
