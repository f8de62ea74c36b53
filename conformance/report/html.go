package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"strings"
	"time"
)

//go:embed report.html
var page string

// HTML is the report as one page that needs no other file and no script.
func (r *Report) HTML() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"short": short, "size": size, "lines": func(s []string) string { return strings.Join(s, "\n") },
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	passed, failed, notRun := r.Count()
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"R": r, "Groups": r.groups(), "Reasons": r.reasons(), "Failures": r.failures(), "Common": r.common(), "Special": r.special(),
		"Passed": passed, "Failed": failed, "NotRun": notRun, "Took": r.Took.Round(time.Second),
	})
	return b.Bytes(), err
}
