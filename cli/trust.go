package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/access/accounts"
	"github.com/longshore-registry/longshore/certs"
)

func (p program) trustCommand() *cobra.Command {
	var t trust
	c := &cobra.Command{
		Use:   "trust [HOST:PORT]",
		Short: "Show how clients are made to trust the registry's own CA",
		Long: `Show how clients are made to trust a registry that has made its CA itself: for each kind of client
the line that installs it. The same is at http://HOST:PORT/trust.

The CA comes from the registry at HOST:PORT (localhost:5000 if it is not given), over plain HTTP. Compare
its fingerprint with the one in the registry's log, or give that: --fingerprint 37:00:…

With --out FILE the CA is written to a file, and with --install docker or --install podman to where these look for it, which
takes effect at once. It uses sudo where that is needed. With --login NAME that client is logged in too; and with --add-user NAME, on the machine
that has the registry's store and configuration, the account is made before.`,
		Example: `  longshore trust --client containerd nas.lan:5000
  longshore trust --install docker --login alice nas.lan:5000
  longshore trust --install docker --add-user alice nas.lan:5000`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t.host = "localhost:5000"
			if len(args) > 0 {
				t.host = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(args[0], "http://"), "https://"), "/")
			}
			if err := certs.CheckHostPort(t.host); err != nil {
				return usageError{err}
			}
			if t.install == "" && (t.login != "" || t.addUser != "") {
				return usageError{errors.New("--login and --add-user go with --install docker or --install podman")}
			}
			ca, err := p.trust(c.Context(), t)
			if err != nil || t.login == "" && t.addUser == "" {
				return err
			}
			return p.logIn(c, t, ca)
		},
	}
	t.password = addPasswordFlags(c)
	flags := c.Flags()
	flags.StringVar(&t.client, "client", "", "show this kind of client only, such as docker")
	flags.StringVar(&t.fingerprint, "fingerprint", "", "the SHA-256 that the CA must have")
	flags.StringVar(&t.out, "out", "", "write the CA to this file")
	flags.StringVar(&t.install, "install", "", "put the CA where docker or podman looks for it, on this machine")
	flags.StringVar(&t.login, "login", "", "log that client in with this account")
	flags.StringVar(&t.addUser, "add-user", "", "make this account, and log that client in with it")
	flags.StringVar(&t.config, "config", "", "the registry's configuration file, for --add-user")
	c.MarkFlagsMutuallyExclusive("login", "add-user")
	return c
}

// trust is what the command is to do.
type trust struct {
	host, client, fingerprint, out, install string

	login, addUser, config string
	password               passwordFlags
}

// folders are where clients look for the CA of a registry, in a folder with the name that it has in references:
// https://docs.docker.com/engine/security/certificates/ and containers-certs.d(5).
func (t trust) folder() (string, error) {
	switch t.install {
	case "docker":
		return "/etc/docker/certs.d", nil
	case "podman":
		if os.Geteuid() == 0 {
			return "/etc/containers/certs.d", nil
		}
		home, err := os.UserConfigDir()
		return filepath.Join(home, "containers", "certs.d"), err
	}
	return "", usageError{fmt.Errorf("--install takes docker or podman, not %q; for others see what longshore trust --client %[1]s shows", t.install)}
}

func (p program) trust(ctx context.Context, t trust) (*x509.Certificate, error) {
	var folder string
	if t.install != "" {
		var err error
		if folder, err = t.folder(); err != nil {
			return nil, err
		}
	}
	g := certs.Guide{Host: t.host}
	body, ca, err := fetchCA(ctx, g.URL("/ca.crt"))
	if err != nil {
		return nil, err
	}
	g.Fingerprint = certs.Fingerprint(ca)
	if t.fingerprint != "" && !sameFingerprint(t.fingerprint, g.Fingerprint) {
		return nil, adviceError{
			fmt.Errorf("the CA that %s gives has another fingerprint: %s", t.host, g.Fingerprint),
			"do not trust it before you know why: somebody may be in between, or the fingerprint is of an older CA",
		}
	}
	fmt.Fprintf(p.stdout, "The CA of %s, good until %s, has the SHA-256 fingerprint\n  %s\n", t.host, ca.NotAfter.Format(time.DateOnly), g.Fingerprint)
	if t.fingerprint == "" {
		fmt.Fprintln(p.stdout, "Compare it with the one in the registry's log (ca_sha256, or CA in a terminal).")
	}
	if t.out != "" {
		if err := os.WriteFile(t.out, body, 0o644); err != nil {
			return nil, err
		}
		fmt.Fprintf(p.stdout, "It is in %s now.\n", t.out)
	}
	if folder != "" {
		file := filepath.Join(folder, t.host, "ca.crt")
		if err := p.writeCA(ctx, file, body); err != nil {
			return nil, err
		}
		fmt.Fprintf(p.stdout, "%s trusts %s now: the CA is in %s.\n", upperFirst(t.install), t.host, file)
	}
	if t.out != "" || folder != "" {
		return ca, nil
	}
	if err := g.WriteText(p.stdout, t.client); err != nil {
		return nil, usageError{err}
	}
	return ca, nil
}

// writeCA writes the file of a CA, by sudo if the folder is root's.
func (p program) writeCA(ctx context.Context, file string, body []byte) error {
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, body, 0o644)
	}
	if !errors.Is(err, os.ErrPermission) {
		return err
	}
	if _, missing := exec.LookPath("sudo"); missing != nil {
		return adviceError{err, "run it as root"}
	}
	if err := p.command(ctx, nil, "sudo", "mkdir", "-p", filepath.Dir(file)).Run(); err != nil {
		return fmt.Errorf("sudo mkdir: %w", err)
	}
	tee := p.command(ctx, bytes.NewReader(body), "sudo", "tee", file)
	tee.Stdout = nil // it repeats the file
	if err := tee.Run(); err != nil {
		return fmt.Errorf("sudo tee %s: %w", file, err)
	}
	return nil
}

// command is a program that shows its output where ours goes.
func (p program) command(ctx context.Context, in io.Reader, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdin, c.Stdout, c.Stderr, c.Env = in, p.stdout, p.stderr, p.env
	return c
}

// logIn makes the account, if that is asked for, and logs a client in.
func (p program) logIn(c *cobra.Command, t trust, ca *x509.Certificate) error {
	name := cmp.Or(t.addUser, t.login)
	var password string
	if t.addUser != "" {
		var err error
		if password, err = p.addUserFor(c, t); err != nil {
			return err
		}
		if err := untilLocked(c.Context(), t.host, ca); err != nil {
			return err
		}
	} else if *t.password.stdin {
		var err error
		if password, _, err = p.password(t.password); err != nil {
			return err
		}
	}
	login := p.command(c.Context(), p.stdin, t.install, "login", "--username", name, t.host)
	if password != "" {
		login = p.command(c.Context(), strings.NewReader(password), t.install, "login", "--username", name, "--password-stdin", t.host)
	}
	if err := login.Run(); err != nil {
		return adviceError{fmt.Errorf("%s login: %w", t.install, err), "the CA is installed; try " + t.install + " login " + t.host + " by itself"}
	}
	return nil
}

// addUserFor makes an account in the store and returns its password.
func (p program) addUserFor(c *cobra.Command, t trust) (password string, err error) {
	if err := accounts.CheckName(t.addUser); err != nil {
		return "", usageError{err}
	}
	var file []string
	if t.config != "" {
		file = []string{t.config}
	}
	return password, p.onAccounts(c, file, func(ctx context.Context, a account) error {
		var made bool
		if password, made, err = p.password(t.password); err != nil {
			return err
		}
		if err := a.AddUser(ctx, accounts.User{Name: t.addUser}, password, a.by); err != nil {
			return fmt.Errorf("user %s: %w", t.addUser, err)
		}
		a.done("user add %s", t.addUser)
		fmt.Fprintf(p.stdout, "added %s\n", t.addUser)
		if made {
			fmt.Fprintf(p.stdout, "password: %s\n", password)
		}
		return nil
	})
}

// lockPatience is how long a registry is given to see that there is an account now: several times access.refresh.
const lockPatience = 30 * time.Second

// untilLocked waits until the registry asks for credentials: a client that logs in before keeps none.
func untilLocked(ctx context.Context, host string, ca *x509.Certificate) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v2/", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return adviceError{err, "the account is made; if the certificate does not name the host, start longshore serve with --host " + host}
		}
		_ = response.Body.Close() // the status is what counts
		if response.StatusCode == http.StatusUnauthorized {
			return nil
		}
		select {
		case <-ctx.Done():
			return adviceError{fmt.Errorf("%s asks for no credentials although there is an account", host), "give --config, if the registry has a configuration file: the account may have been made in another store"}
		case <-tick.C:
		}
	}
}

func sameFingerprint(a, b string) bool {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer(":", "", " ", "", "SHA256", "", "sha256", "").Replace(s))
	}
	return plain(a) == plain(b)
}

// fetchCA reads a registry's CA.
func fetchCA(ctx context.Context, url string) ([]byte, *x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, adviceError{err, "start longshore serve, or name the registry: longshore trust HOST:PORT"}
	}
	defer func() { _ = response.Body.Close() }() // what counts has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(body)
	if response.StatusCode != http.StatusOK || block == nil {
		return nil, nil, adviceError{
			fmt.Errorf("%s answers %s and no certificate", url, response.Status),
			"the registry there has no CA of its own: its certificate comes from elsewhere, or it speaks no TLS; its log says which",
		}
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", url, err)
	}
	if !ca.IsCA {
		return nil, nil, fmt.Errorf("%s is the certificate of a server, not of a CA", url)
	}
	return body, ca, nil
}
