package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	clockFailure   = 15 * time.Minute // signatures fail then: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, RequestTimeTooSkewed
	certificateAge = 30 * 24 * time.Hour
)

// value is that of a setting of the chosen driver, as text; "" if it has none of that name.
func (l loaded) value(key string) string {
	for _, k := range l.keys {
		if k.Path == "storage."+l.driver.Name+"."+key {
			return k.Value
		}
	}
	return ""
}

// endpointField is the setting that says where the store is.
func (l loaded) endpointField() string {
	if l.driver.Name == "swift" {
		return "auth_url"
	}
	return "endpoint"
}

// endpoint is the URL of the store; "" if it is no server.
func (l loaded) endpoint() string {
	endpoint := l.value(l.endpointField())
	switch {
	case endpoint == "" && l.driver.Name == "s3" && l.value("region") != "":
		return "https://s3." + l.value("region") + ".amazonaws.com"
	case endpoint == "" && l.driver.Name == "gcs":
		return "https://storage.googleapis.com"
	case endpoint != "" && !strings.Contains(endpoint, "://"): // minio takes host:port
		if l.value("secure") == "true" {
			return "https://" + endpoint
		}
		return "http://" + endpoint
	}
	return endpoint
}

// network is the way to a store.
type network struct {
	endpoint, caFile string
	field, driver    string // the setting, and the path above it
	timeout          time.Duration
	tell             func(result)
}

// examine goes from the name to the first answer. false: there is no use in going on.
func (n network) examine(ctx context.Context) bool {
	u, err := url.Parse(n.endpoint)
	if err != nil || u.Hostname() == "" {
		return true // the driver says what is wrong with it
	}
	set := n.driver + "." + n.field
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	limited, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(limited, u.Hostname())
	if err != nil {
		n.tell(result{"name", failed, err.Error(), "correct the host in " + set + ", or the machine's DNS"})
		return false
	}
	n.tell(result{"name", passed, u.Hostname() + " is " + strings.Join(addresses, ", "), ""})
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(limited, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		n.tell(result{"connection", failed, err.Error(), "correct the port in " + set + ", start the store, or open the firewall for port " + port})
		return false
	}
	_ = conn.Close() // it has shown what it had to
	n.tell(result{"connection", passed, fmt.Sprintf("port %s answers within %s", port, took(began)), ""})
	if os.Getenv("HTTPS_PROXY") != "" || os.Getenv("HTTP_PROXY") != "" {
		n.tell(result{"proxy", warned, "HTTP_PROXY or HTTPS_PROXY is set: the registry's requests go through it, this test's connection did not", "set NO_PROXY to the store's host if they should not"})
	}
	if u.Scheme == "https" && !n.certificate(limited, u.Hostname(), port) {
		return false
	}
	return n.answer(limited, u)
}

// trusted are the certificates that the driver trusts.
func (n network) trusted() (*x509.CertPool, error) {
	if n.caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(n.caFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file holds no certificate in PEM form")
	}
	return pool, nil
}

// certificate looks at the TLS handshake.
func (n network) certificate(ctx context.Context, host, port string) bool {
	set := n.driver + "." + n.field
	pool, err := n.trusted()
	if err != nil {
		n.tell(result{"certificate", failed, err.Error(), "correct " + n.driver + ".ca_file"})
		return false
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		n.tell(result{"certificate", failed, "the store speaks plain HTTP on this port", "let " + set + " begin with http://, or name the port that speaks TLS"})
		return false
	case errors.As(err, &authority):
		issuer := "nobody"
		if authority.Cert != nil {
			issuer = authority.Cert.Issuer.String()
		}
		n.tell(result{"certificate", failed, "it is signed by " + issuer + ", whom this machine does not trust", "set " + n.driver + ".ca_file to a file with the certificate of that authority"})
		return false
	case errors.As(err, &name):
		n.tell(result{"certificate", failed, fmt.Sprintf("it is for %s, not for %s", strings.Join(names(name.Certificate), ", "), host), "name one of these hosts in " + set + ", or give the store a certificate for " + host})
		return false
	case errors.As(err, &invalid):
		n.tell(result{"certificate", failed, err.Error(), "renew the store's certificate, or set this machine's clock"})
		return false
	case err != nil:
		n.tell(result{"certificate", failed, err.Error(), "look what listens on port " + port})
		return false
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	detail := fmt.Sprintf("issued by %s, good for %d days more", leaf.Issuer, int(left.Hours()/24))
	if left < certificateAge {
		n.tell(result{"certificate", warned, detail, "renew it"})
		return true
	}
	n.tell(result{"certificate", passed, detail, ""})
	return true
}

func names(c *x509.Certificate) []string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		all = append(all, c.Subject.CommonName)
	}
	return all
}

// answer asks for something without credentials, and looks at who answers, and at the clock.
func (n network) answer(ctx context.Context, u *url.URL) bool {
	set := n.driver + "." + n.field
	pool, err := n.trusted()
	if err != nil {
		return true // told already
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return true
	}
	before := time.Now()
	response, err := transport.RoundTrip(request)
	if err != nil {
		n.tell(result{"answer", failed, err.Error(), "look what listens there: it does not speak HTTP, or " + set + " has the wrong port"})
		return false
	}
	after := time.Now()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // what could be read of it
	_ = response.Body.Close()
	if response.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "HTTP request to an HTTPS server") {
		n.tell(result{"answer", failed, "the store speaks TLS on this port", "let " + set + " begin with https://"})
		return false
	}
	who := response.Header.Get("Server")
	if who == "" {
		who = "a server without a name"
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") && response.StatusCode < 400 {
		n.tell(result{"answer", warned, who + " answers with a web page", "look whether " + set + " names the store's API, and not its console"})
	} else {
		n.tell(result{"answer", passed, fmt.Sprintf("%s, status %d without credentials", who, response.StatusCode), ""})
	}
	n.tell(clockOf(response.Header, before, after))
	return true
}

// clockOf compares the Date of an answer, which has whole seconds, with our clock.
func clockOf(header http.Header, before, after time.Time) result {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return result{"date", warned, "the answer has no Date: how far the clocks are apart can't be told by it", "let the proxy before the store pass the header Date"}
	}
	apart := time.Duration(0)
	if ahead := theirs.Sub(after); ahead > 0 {
		apart = ahead
	} else if behind := before.Truncate(time.Second).Sub(theirs); behind > 0 {
		apart = -behind
	}
	detail := "the store's clock agrees within " + rounded(max(apart.Abs(), time.Second))
	if apart.Abs() > clockWarning {
		side := "ahead of"
		if apart < 0 {
			side = "behind"
		}
		detail = fmt.Sprintf("the store's clock is %s %s this machine's", rounded(apart.Abs()), side)
	}
	const fix = "set both clocks by NTP: signatures fail when they are 15 minutes apart"
	switch {
	case apart.Abs() > clockFailure:
		return result{"date", failed, detail, fix}
	case apart.Abs() > clockWarning:
		return result{"date", warned, detail, fix}
	}
	return result{"date", passed, detail, ""}
}
