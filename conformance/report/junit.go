package report

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// The elements of JUnit's XML that its readers agree on: https://github.com/testmoapp/junitxml.
type (
	junitSuite struct {
		XMLName    xml.Name        `xml:"testsuite"`
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		When       string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit is the report as JUnit's XML, for servers that show tests. A case that was not run is skipped; abilities and measurements are properties.
func (r *Report) JUnit() ([]byte, error) {
	passed, failed, notRun := r.Count()
	suite := junitSuite{
		Name: "longshore conformance " + r.Driver, Tests: passed + failed + notRun, Failures: failed, Skipped: notRun,
		Time: seconds(r.Took), When: r.Began.UTC().Format("2006-01-02T15:04:05"), Properties: r.properties(),
	}
	for _, c := range r.Results {
		method, name, _ := strings.Cut(c.Name, "/")
		j := junitCase{Class: "conformance." + method, Name: name, Time: seconds(c.Took)}
		if c.NotRun != "" {
			j.Skipped = &junitMessage{Message: c.NotRun}
		}
		if c.Failed {
			text := strings.Join(c.Messages, "\n")
			first, _, _ := strings.Cut(text, "\n")
			j.Failure = &junitMessage{Message: first, Text: text}
		}
		suite.Cases = append(suite.Cases, j)
	}
	out, err := xml.MarshalIndent(suite, "", "  ")
	return append([]byte(xml.Header), append(out, '\n')...), err
}

// properties are what is no case.
func (r *Report) properties() []junitProperty {
	all := []junitProperty{{"longshore", r.Version}, {"store", r.Store}, {"identity", r.Identity}, {"folder", r.Folder}}
	for _, note := range r.Notes {
		all = append(all, junitProperty{"note", note})
	}
	for _, a := range r.Abilities {
		all = append(all, junitProperty{a.Name, strings.TrimSpace(a.State + " " + a.Detail)})
	}
	for _, l := range r.Latencies {
		all = append(all, junitProperty{l.What + ", p50", l.P50.String()}, junitProperty{l.What + ", p99", l.P99.String()})
	}
	for _, s := range r.Speeds {
		all = append(all, junitProperty{fmt.Sprintf("%s, streams: %d", s.What, s.Streams), fmt.Sprintf("%.0f MB/s", s.MBs)})
	}
	return all
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
