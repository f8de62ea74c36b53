package bench

import (
	"fmt"
	"html"
	"strings"
)

// Bar is one bar of a chart.
type Bar struct {
	Label string
	Value float64
	Text  string // the value for people
	First bool   // is drawn in the colour of what the others are compared with
}

// Group is the bars that are compared with each other.
type Group struct {
	Title string
	Bars  []Bar
}

// Chart draws groups of horizontal bars as SVG. Each group has a scale of its own, on which its longest bar fills the width.
func Chart(title string, groups []Group) string {
	const (
		width, left, right = 760, 210, 110
		line, gap, top     = 22, 34, 40
	)
	height := top
	for _, g := range groups {
		height += gap + len(g.Bars)*line
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s" font-family="system-ui, sans-serif" font-size="13">`+"\n",
		width, height+10, width, height+10, html.EscapeString(title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height+10)
	fmt.Fprintf(&b, `<text x="10" y="24" font-size="16" font-weight="600" fill="#1b2733">%s</text>`+"\n", html.EscapeString(title))
	y := top
	for _, g := range groups {
		most := 0.0
		for _, bar := range g.Bars {
			most = max(most, bar.Value)
		}
		fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="600" fill="#1b2733">%s</text>`+"\n", y+20, html.EscapeString(g.Title))
		y += gap - 6
		for _, bar := range g.Bars {
			long := 0.0
			if most > 0 {
				long = bar.Value / most * (width - left - right)
			}
			colour := "#9fb3c8"
			if bar.First {
				colour = "#1f6feb"
			}
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#1b2733">%s</text>`, left-8, y+15, html.EscapeString(bar.Label))
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, left, y+3, max(long, 1), line-6, colour)
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="#1b2733">%s</text>`+"\n", left+max(long, 1)+6, y+15, html.EscapeString(bar.Text))
			y += line
		}
		y += 6
	}
	b.WriteString("</svg>\n")
	return b.String()
}
