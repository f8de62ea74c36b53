package bench

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Target is a registry that is measured.
type Target struct {
	Name           string   // in reports
	URL            *url.URL // without credentials; a path in it comes before /v2/
	User, Password string   // "" for none; used for a Basic challenge, and to get tokens for a Bearer one

	// PIDs are processes on this machine, with their children: how much processor and memory they take is measured.
	PIDs []int

	// Calls, if not nil, is read before and after each round. It counts something else that the work costs, such as requests to the store.
	Calls func() int64

	// Instead, if not "", is a URL that blobs and manifests are asked for in place of those of a registry, such as a file of a plain web server.
	// Nothing is pushed there, so only the workloads blob, manifest-get and manifest-head can be done.
	Instead string
}

// ParseTarget reads URL[,pid=N]…[,name=TEXT]. Without a scheme the URL is http for this machine and https for others, as
// docker takes it; it may hold user:password.
func ParseTarget(text string) (Target, error) {
	parts := strings.Split(text, ",")
	t := Target{}
	u, err := url.Parse(withScheme(parts[0]))
	if err != nil {
		var reason *url.Error
		if errors.As(err, &reason) {
			err = reason.Err // the rest repeats the URL, with its password
		}
		return t, fmt.Errorf("no URL of a registry: %w", err)
	}
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		return t, fmt.Errorf("%s is no URL of a registry; one is https://registry.example.com", u.Redacted())
	}
	t.User = u.User.Username()
	t.Password, _ = u.User.Password()
	u.User = nil
	u.Path = strings.TrimSuffix(u.Path, "/")
	t.URL, t.Name = u, u.Host+u.Path
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "pid":
			pid, err := strconv.Atoi(value)
			if err != nil || pid <= 0 {
				return t, fmt.Errorf("pid=%s: not the number of a process", value)
			}
			t.PIDs = append(t.PIDs, pid)
		case "name":
			if value == "" {
				return t, errors.New("name=: say which")
			}
			t.Name = value
		default:
			return t, fmt.Errorf("%s: after the URL there may be pid=N and name=TEXT", part)
		}
	}
	return t, nil
}

func withScheme(text string) string {
	if strings.Contains(text, "://") {
		return text
	}
	host := text[strings.LastIndexByte(text, '@')+1:]
	host, _, _ = strings.Cut(host, "/")
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	if host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return "http://" + text
	}
	return "https://" + text
}
