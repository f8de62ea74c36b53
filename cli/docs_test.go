package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestExamplesOfTheDocs loads every YAML example of the pages in docs: each is a whole configuration. What is something else, such as a
// manifest of Kubernetes, says so by its apiVersion.
func TestExamplesOfTheDocs(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for i, part := range strings.Split(string(text), "```yaml\n")[1:] {
			example, _, _ := strings.Cut(part, "```")
			if strings.Contains(example, "apiVersion:") {
				continue
			}
			found++
			if _, err := (program{env: secretsOf(example)}).load([]string{writeFile(t, "config.yml", example)}); err != nil {
				t.Errorf("%s, example %d: %v\n%s", page, i+1, err, example)
			}
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		isDriver := slices.ContainsFunc(table(folderHere), func(d driver) bool { return d.Name == name })
		if found == 0 && (isDriver || name == "configuration" || name == "getting-started") {
			t.Errorf("%s has no examples", page)
		}
	}
}

// secretsOf is an environment that has all variables of an example.
func secretsOf(example string) (env []string) {
	for _, m := range regexp.MustCompile(`\$\{([A-Z0-9_]+)\}`).FindAllStringSubmatch(example, -1) {
		value := "hush"
		if strings.Contains(m[1], "CUSTOMER_KEY") {
			value = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // has to be 32 bytes
		}
		if strings.Contains(m[1], "TLS_SECRET") {
			value = strings.Repeat("hush", 8) // at least 32 characters
		}
		env = append(env, m[1]+"="+value)
	}
	return env
}
