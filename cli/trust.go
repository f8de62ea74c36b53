package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
takes effect at once: "sudo longshore trust --install docker nas.lan:5000".`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t.host = "localhost:5000"
			if len(args) > 0 {
				t.host = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(args[0], "http://"), "https://"), "/")
			}
			if err := certs.CheckHostPort(t.host); err != nil {
				return usageError{err}
			}
			return p.trust(c.Context(), t)
		},
	}
	flags := c.Flags()
	flags.StringVar(&t.client, "client", "", "show this kind of client only, such as docker")
	flags.StringVar(&t.fingerprint, "fingerprint", "", "the SHA-256 that the CA must have")
	flags.StringVar(&t.out, "out", "", "write the CA to this file")
	flags.StringVar(&t.install, "install", "", "put the CA where docker or podman looks for it, on this machine")
	return c
}

// trust is what the command is to do.
type trust struct {
	host, client, fingerprint, out, install string
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

func (p program) trust(ctx context.Context, t trust) error {
	var folder string
	if t.install != "" {
		var err error
		if folder, err = t.folder(); err != nil {
			return err
		}
	}
	g := certs.Guide{Host: t.host}
	body, ca, err := fetchCA(ctx, g.URL("/ca.crt"))
	if err != nil {
		return err
	}
	g.Fingerprint = certs.Fingerprint(ca)
	if t.fingerprint != "" && !sameFingerprint(t.fingerprint, g.Fingerprint) {
		return adviceError{
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
			return err
		}
		fmt.Fprintf(p.stdout, "It is in %s now.\n", t.out)
	}
	if folder != "" {
		file := filepath.Join(folder, t.host, "ca.crt")
		if err := writeCA(file, body); err != nil {
			if errors.Is(err, os.ErrPermission) {
				return adviceError{err, "run it with sudo"}
			}
			return err
		}
		fmt.Fprintf(p.stdout, "%s trusts %s now: the CA is in %s.\n", upperFirst(t.install), t.host, file)
	}
	if t.out != "" || folder != "" {
		return nil
	}
	if err := g.WriteText(p.stdout, t.client); err != nil {
		return usageError{err}
	}
	return nil
}

func writeCA(file string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o644)
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
