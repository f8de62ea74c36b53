package oidc

import (
	"crypto/rand"
	"html/template"
	"net/http"
)

// page is what is shown. One of Providers, Problem and Key is set.
type page struct {
	Style     string // the nonce of the style sheet
	Providers []string
	Problem   string

	Name, Key, Host, Provider, Expires string
}

// show writes a page. It loads nothing, sends nothing, runs no script and lies in no frame; nobody keeps it.
func (l *Login) show(w http.ResponseWriter, status int, p page) {
	p.Style = rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+p.Style+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	if err := pageTemplate.Execute(w, p); err != nil {
		l.o.Log.Debug("a page could not be sent", "err", err)
	}
}

func (l *Login) fail(w http.ResponseWriter, status int, problem string) {
	const longest = 500
	if len(problem) > longest {
		problem = problem[:longest]
	}
	l.show(w, status, page{Problem: problem})
}

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in to the registry</title>
<style nonce="{{.Style}}">
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff }
pre, code { font-family: ui-monospace, monospace; background: #f1f1f1 }
pre { padding: .75rem; overflow-x: auto; user-select: all }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #161616 } pre, code { background: #2a2a2a } a { color: #8ab4f8 } }
</style>
</head>
<body>
{{if .Key}}<h1>You are {{.Name}}</h1>
<p>This is your API key. It is shown once{{with .Expires}} and is good until {{.}}{{end}}.</p>
<pre id="key">{{.Key}}</pre>
<p>It is a password for this registry:</p>
<pre>docker login -u {{.Name}} {{.Host}}</pre>
<p>Whoever has it may do what you may. When it ends, or if it gets lost, <a href="/oidc/login/{{.Provider}}">log in again</a>.</p>
{{else if .Problem}}<h1>That did not work</h1>
<p role="alert">{{.Problem}}</p>
<p><a href="/oidc/">Log in</a></p>
{{else}}<h1>Log in</h1>
{{if .Providers}}<ul>
{{range .Providers}}<li><a href="/oidc/login/{{.}}">{{.}}</a></li>
{{end}}</ul>{{else}}<p>There is no provider at which people can log in.</p>{{end}}
{{end}}</body>
</html>
`))
